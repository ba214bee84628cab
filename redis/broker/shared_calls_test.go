package broker_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// Concurrent calls that share one call of a script have outcomes of their own, also when Redis lost the
// script.
func TestCallsThatShareAScriptCallHaveTheirOwnOutcomes(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		const jobs, twins = 100, 3
		var published, existed atomic.Int64
		var all sync.WaitGroup
		for i := range jobs * twins {
			all.Go(func() {
				_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: fmt.Sprint("job-", i%jobs), ReportID: fmt.Sprint(i)},
					State: &job.InitialState{Fields: map[string]string{"by": fmt.Sprint(i)}}})
				var jobErr *job.JobError
				switch {
				case err == nil:
					published.Add(1)
				case errors.As(err, &jobErr) && jobErr.JobID == fmt.Sprint("job-", i%jobs) && errors.Is(err, job.ErrJobExists):
					existed.Add(1)
				default:
					t.Error(err)
				}
				if i == 150 && e.Name == "redis" {
					b.raw.ScriptFlush(b.ctx)
				}
			})
		}
		all.Wait()
		if published.Load() != jobs || existed.Load() != jobs*(twins-1) {
			t.Error(published.Load(), existed.Load())
		}
		var got []queue.Delivery
		for len(got) < jobs {
			more := b.read(t, "w", 100)
			if len(more) == 0 {
				t.Fatalf("%d of %d tasks were delivered", len(got), jobs)
			}
			got = append(got, more...)
		}
		for i, d := range got { // the state is that of the publish whose task there is
			if by := b.hash(t, "job_state:"+d.Task.JobID)["by"]; by != d.Task.ReportID {
				t.Error(d.Task, by)
			}
			for range twins {
				all.Go(func() {
					r, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted, Fields: map[string]string{"i": fmt.Sprint(i)}})
					if err != nil {
						t.Error(err)
					}
					if r.Already {
						existed.Add(1)
					}
				})
			}
		}
		all.Wait()
		if existed.Load() != 2*jobs*(twins-1) {
			t.Error(existed.Load())
		}
		for i, d := range got {
			if events := b.stream(t, "argus_completion:"+d.Task.JobID); len(events) != 1 || events[0].Values["i"] != fmt.Sprint(i) {
				t.Fatal(events)
			}
		}
	})
}
