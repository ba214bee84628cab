package broker_test

import (
	"fmt"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// Raw workers, command by command, work beside the service's own in one group: each task is done once, and
// state and result agree.
func TestRawWorkersAndTheServiceShareAGroup(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		for _, encoding := range []job.Encoding{job.EncodingFields, job.EncodingJSON} {
			t.Run(string(encoding), func(t *testing.T) {
				t.Parallel()
				b := setup(t, redistest.Engine{Name: e.Name, Addr: e.Addr, Prefix: e.Prefix + string(encoding) + ":"}, job.Settings{Queue: job.QueueSettings{Encoding: encoding}})
				key := b.key(job.DefaultQueue)
				jobs := make(map[string]string) // by whom they were done
				for i := range 20 {
					id := fmt.Sprint("job-", i)
					jobs[id] = ""
					if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: id}, State: &job.InitialState{}}); err != nil {
						t.Fatal(err)
					}
				}
				b.startLate(t, job.DefaultQueue)
				for range 10 {
					streams, err := b.raw.XReadGroup(b.ctx, groupRead(key, job.DefaultGroup, 1)).Result()
					if err != nil {
						t.Fatal(err)
					}
					m := streams[0].Messages[0]
					task, err := job.DecodeTask(values(m))
					if _, isJSON := m.Values["data"]; err != nil || isJSON != (encoding == job.EncodingJSON) {
						t.Fatal(m, err)
					}
					jobs[task.JobID] += "raw"
					b.raw.HSet(b.ctx, b.key("job_state:"+task.JobID), "argus_status", "scanned")
					if encoding == job.EncodingJSON {
						b.raw.XAdd(b.ctx, entry(b.key("argus_completion:"+task.JobID), "data",
							fmt.Sprintf(`{"job_id":%q,"status":"completed","completed_at":"2026-01-02T03:04:05Z","results":{"findings":3}}`, task.JobID)))
					} else {
						b.raw.XAdd(b.ctx, entry(b.key("argus_completion:"+task.JobID), "job_id", task.JobID, "status", "completed", "findings", "3"))
					}
					b.raw.XAck(b.ctx, key, job.DefaultGroup, m.ID)

					d := b.readOne(t, "ours")
					jobs[d.Task.JobID] += "ours"
					if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted, Fields: map[string]string{"findings": "3"}}); err != nil {
						t.Fatal(err)
					}
				}
				for id, by := range jobs {
					state, err := b.broker.State(b.ctx, id, nil)
					if by != "raw" && by != "ours" || err != nil || state.Status != job.StatusCompleted || (state.Fields["argus_status"] == "scanned") != (by == "raw") {
						t.Errorf("%s, done by %q: %v %v", id, by, state, err)
					}
					if event, err := b.broker.Await(b.ctx, id, 0); err != nil || event == nil || event.Status != job.StatusCompleted || event.Fields["findings"] != "3" {
						t.Errorf("%s: %v %v", id, event, err)
					}
					if info, err := b.broker.Job(b.ctx, id); err != nil || info.Place.Where != queue.WhereNowhere || info.Result == nil {
						t.Errorf("%s: %+v %v", id, info, err)
					}
				}
				if q, err := b.broker.Queue(b.ctx, ""); err != nil || q.Waiting+q.Leased+q.Dead != 0 {
					t.Errorf("%+v %v", q, err)
				}
				if err := b.broker.Clean(b.ctx); err != nil || b.raw.XLen(b.ctx, key).Val() != 0 || b.broker.WaitStats().UnseenRemoved != 0 {
					t.Error("the cleaner left entries, or counts some as unseen:", err)
				}
			})
		}
	})
}
