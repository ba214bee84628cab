package broker_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// Workers of several servers race for tasks while leases expire at random. Every job gets exactly one
// result, by exactly one Complete that reported to have recorded it; no job is lost, and none appears
// unpublished.
func TestRacingWorkersRecordOneResultPerJob(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		const jobs, workers = 300, 6
		b := setup(t, e, job.Settings{})
		h := &history{wins: make(map[string]int)}
		var done sync.WaitGroup
		for i := range workers {
			server, seed := b.broker, rand.New(rand.NewPCG(1, uint64(i)))
			if i%2 == 1 {
				server = b.open(t, job.Settings{})
			}
			done.Go(func() { h.work(t, b, server, fmt.Sprint("w", i), seed, jobs) })
		}
		for i := range jobs {
			r := queue.PublishRequest{Task: job.Task{JobID: fmt.Sprint("job-", i)}}
			if i%7 == 0 {
				r.Delay = time.Duration(i) * time.Millisecond / 4
			}
			if _, _, err := b.broker.Publish(b.ctx, r); err != nil {
				t.Fatal(err)
			}
		}
		done.Wait()
		for i := range jobs {
			id := fmt.Sprint("job-", i)
			if n := len(b.stream(t, "argus_completion:"+id)); n != 1 || h.wins[id] != 1 {
				t.Errorf("%s has %d results and %d Completes that reported to record it", id, n, h.wins[id])
			}
		}
		if len(h.wins) != jobs {
			t.Errorf("%d jobs were completed, %d published", len(h.wins), jobs)
		}
		if n, p := len(b.stream(t, job.DefaultQueue)), b.pending(t); n != 0 || p != 0 {
			t.Errorf("%d entries and %d pending are left", n, p)
		}
		t.Logf("%d leases lost, %d tasks returned", h.lost.Load(), h.nacked.Load())
		if h.lost.Load() == 0 || h.nacked.Load() == 0 {
			t.Error("the test did not race")
		}
	})
}

// history is what the workers' calls returned.
type history struct {
	mu     sync.Mutex
	wins   map[string]int // Completes that recorded a result, by job
	lost   atomic.Int64
	nacked atomic.Int64
}

func (h *history) finished(jobs int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.wins) >= jobs
}

func (h *history) work(t *testing.T, b *bundle, server *broker.Broker, name string, random *rand.Rand, jobs int) {
	for !h.finished(jobs) {
		deliveries, err := server.Read(b.ctx, queue.ReadRequest{Consumer: name, Max: 1 + random.IntN(5), Wait: 20 * time.Millisecond})
		if err != nil {
			t.Error(err)
			return
		}
		for _, d := range deliveries {
			if random.IntN(4) == 0 {
				d = h.overtake(t, b, server, d)
			}
			if err := h.settle(b, server, d, random); errors.Is(err, job.ErrLeaseLost) {
				h.lost.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		}
	}
}

// overtake lets a lease expire and go to another worker, and the one that lost it complete nevertheless.
// It returns the delivery as the other worker has it.
func (h *history) overtake(t *testing.T, b *bundle, server *broker.Broker, d queue.Delivery) queue.Delivery {
	late := d.Lease.Token()
	d.Lease.Consumer, d.Lease.Count = "next-"+d.Lease.Consumer, d.Lease.Count+1
	if err := b.xclaim(d.Lease, 0); err != nil {
		t.Error(err)
	}
	if r, err := server.Complete(b.ctx, late, job.Result{Status: job.StatusFailed}); !errors.Is(err, job.ErrLeaseLost) {
		t.Errorf("the Complete of a worker that lost its lease: %v, %v", r, err)
	}
	h.lost.Add(1)
	return d
}

func (h *history) settle(b *bundle, server *broker.Broker, d queue.Delivery, random *rand.Rand) error {
	token := d.Lease.Token()
	switch random.IntN(8) {
	case 0:
		h.nacked.Add(1)
		_, err := server.Nack(b.ctx, queue.NackRequest{Token: token, Delay: new(time.Duration(random.IntN(2)) * 5 * time.Millisecond)})
		return err
	case 1:
		if _, err := server.Extend(b.ctx, token, map[string]string{"p": "1"}); err != nil {
			return err
		}
	case 2: // the worker crashes
		return b.xclaim(d.Lease, 2*job.DefaultLease)
	}
	r, err := server.Complete(b.ctx, token, job.Result{Status: job.StatusCompleted, Fields: map[string]string{"by": token}})
	if err == nil && !r.Already {
		h.mu.Lock()
		h.wins[d.Task.JobID]++
		h.mu.Unlock()
	}
	return err
}
