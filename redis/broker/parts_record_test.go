package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

// The result of a job with parts is that of all its parts, although its state was lost at any time
// and in any way.
func TestResultOfPartsSurvivesALostState(t *testing.T) {
	t.Parallel()
	losses := map[string]func(b *bundle) error{
		"Delete":  func(b *bundle) error { _, err := b.broker.DeleteState(b.ctx, "job"); return err },
		"removed": func(b *bundle) error { return b.raw.Del(b.ctx, b.key("job_state:job")).Err() },
		"removed, and written to again": func(b *bundle) error {
			b.raw.Del(b.ctx, b.key("job_state:job"))
			return b.broker.SetState(b.ctx, "job", map[string]string{"progress": "50"}, "")
		},
		"record of the parts removed": func(b *bundle) error { return b.raw.Del(b.ctx, b.key("argus_parts:job")).Err() },
	}
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			redistest.Each(t, func(t *testing.T, e redistest.Engine) {
				for _, reported := range []int{0, 1, 2} {
					for _, how := range []string{"Init", "Publish"} {
						b := setup(t, e, job.Settings{})
						b.raw.Del(b.ctx, b.key("job_state:job"), b.key("argus_completion:job"), b.key("argus_parts:job"), b.key(job.DefaultQueue))
						parts := []string{"a", "b", "c"}
						if how == "Init" {
							b.withParts(t, "job", parts...)
						} else {
							for i, part := range parts {
								r := queue.PublishRequest{Task: job.Task{JobID: "job", Part: part}}
								if i == 0 {
									r.State = &job.InitialState{Parts: parts}
								}
								if _, _, err := b.broker.Publish(b.ctx, r); err != nil {
									t.Fatal(err)
								}
							}
						}
						for i := range parts {
							if i == reported {
								if err := lose(b); err != nil {
									t.Fatal(err)
								}
							}
							d := b.readOne(t, "w")
							result := job.Result{Status: job.StatusCompleted, Part: d.Task.Part}
							if i == 0 {
								result.Status = job.StatusFailed
							}
							if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), result); err != nil {
								t.Fatal(err)
							}
						}
						t.Log(how, "lost after", reported)
						b.events(t, "job", "running", "running", "partial")
					}
				}
			})
		})
	}
}

// Progress keeps the record of the parts, and the job's end gives it the TTL of its events.
func TestRecordOfThePartsLivesAsLongAsTheJob(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{CompletionTTL: time.Hour})
		key := b.key("argus_parts:job")
		lives := func(when string, least, most time.Duration) {
			t.Helper()
			if ttl := b.raw.PTTL(b.ctx, key).Val(); ttl < least || ttl > most {
				t.Errorf("%s: it lives for %s, want %s to %s", when, ttl, least, most)
			}
		}
		const long = 89 * 24 * time.Hour
		b.withParts(t, "job", "a", "b")
		lives("created", long, 2*long)
		for i := range 2 {
			d := b.readOne(t, "w")
			b.raw.PExpire(b.ctx, key, time.Minute)
			if _, err := b.broker.Extend(b.ctx, d.Lease.Token(), map[string]string{"progress": "1"}); err != nil {
				t.Fatal(err)
			}
			lives("extended", long, 2*long)
			b.raw.PExpire(b.ctx, key, time.Minute)
			if err := b.broker.SetState(b.ctx, "job", map[string]string{"progress": "2"}, d.Lease.Token()); err != nil {
				t.Fatal(err)
			}
			lives("progress by SetState", long, 2*long)
			b.raw.PExpire(b.ctx, key, time.Minute)
			if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted, Part: d.Task.Part}); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				lives("one part has reported", long, 2*long)
			}
		}
		lives("the job is over", time.Minute+time.Second, time.Hour)
		// Another job of the same id has the parts that it names.
		if _, err := b.broker.InitState(b.ctx, state.InitRequest{JobID: "job", OnConflict: state.ConflictReplace}); err != nil {
			t.Fatal(err)
		}
		if fields := b.hash(t, "argus_parts:job"); len(fields) != 0 {
			t.Error(fmt.Sprint(fields))
		}
	})
}
