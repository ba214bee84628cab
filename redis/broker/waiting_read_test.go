package broker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// Every waiting read gets one of the tasks, whether the service or a raw producer published it.
func TestEachWaitingReadGetsATask(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		const workers = 20
		got := make(chan string, workers)
		for i := range workers {
			go func() {
				d, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: fmt.Sprint("w", i), Wait: longWait})
				if err != nil || len(d) != 1 {
					t.Errorf("Read: %+v, %v; want len(d) == 1", d, err)
					got <- ""
					return
				}
				got <- d[0].Task.JobID
			}()
		}
		for i := range workers / 2 {
			b.publish(t, job.Task{JobID: fmt.Sprint("grpc-", i)})
			b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key(job.DefaultQueue), Values: []any{"job_id", fmt.Sprint("raw-", i)}})
		}
		seen := make(map[string]bool)
		for range workers {
			id := <-got
			if seen[id] {
				t.Error("delivered twice:", id)
			}
			seen[id] = true
		}
	})
}

// A waiting read gets a task whose lease expires meanwhile.
func TestWaitingReadTakesAnExpiredLease(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{Lease: 100 * time.Millisecond}})
		b.publish(t, job.Task{JobID: "job"})
		b.readOne(t, "crashed")
		d, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Wait: longWait})
		if err != nil || len(d) != 1 || d[0].Attempt != 2 {
			t.Errorf("Read: %+v, %v; want len(d) == 1 and d[0].Attempt == 2", d, err)
		}
	})
}

// A waiting read ends with its context, and takes no task.
func TestReadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		ctx, cancel := context.WithCancel(b.ctx)
		ended := make(chan error)
		go func() {
			_, err := b.broker.Read(ctx, queue.ReadRequest{Consumer: "w", Wait: longWait})
			ended <- err
		}()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		b.publish(t, job.Task{JobID: "job"})
		if d := b.readOne(t, "other"); d.Attempt != 1 {
			t.Error("attempt", d.Attempt)
		}
	})
}

// Tasks that are leased for a caller that has left are released at once, without counting an attempt.
func TestReadOfACallerThatLeftReleases(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "a"})
		gone, cancel := contextCancelled(b.ctx)
		defer cancel()
		if d, err := b.broker.Read(gone, queue.ReadRequest{Consumer: "gone"}); err == nil {
			t.Error("delivered to a caller that is gone:", d)
		}
		if d := b.readOne(t, "w"); d.Attempt != 1 {
			t.Error("the lost delivery cost an attempt:", d.Attempt)
		}
	})
}
