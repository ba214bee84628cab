package broker_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A slot moves to another node while several callers publish, read and complete: what was
// published is in the stream once, what was refused isn't, and each job gets its one result.
func TestClusterSlotMovesUnderLoad(t *testing.T) {
	t.Parallel()
	const prefix = "{argus}:"
	m := newMasters(t, prefix)
	client, err := redis.NewClient(patient(redis.Config{Addr: m.nodes[0].Options().Addr, Cluster: true, Prefix: prefix}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	b := &bundle{ctx: redistest.Context(t), client: client}
	b.broker = b.open(t, job.Settings{})

	var mu sync.Mutex
	published, completed := make(map[string]bool), make(map[string]bool)
	var stop atomic.Bool
	var publishing, working sync.WaitGroup
	publish := func(kind string, ids []string, send func() error) {
		err := send()
		if err != nil && !errors.Is(err, job.ErrUnavailable) {
			t.Errorf("%s: %v", kind, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, id := range ids {
			published[id] = err == nil
		}
	}
	for p := range 4 {
		publishing.Go(func() {
			for i := 0; !stop.Load(); i++ {
				id := func(kind string) string { return fmt.Sprint(kind, "-", p, "-", i) }
				publish("plain", []string{id("plain")}, func() error {
					_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: id("plain")}})
					return err
				})
				publish("state", []string{id("state")}, func() error {
					_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: id("state")}, State: &job.InitialState{}})
					return err
				})
				publish("batch", []string{id("a"), id("b")}, func() error {
					_, _, err := b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{Tasks: []job.Task{{JobID: id("a")}, {JobID: id("b")}}})
					return err
				})
			}
		})
	}
	left := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for id, ok := range published {
			if ok && !completed[id] {
				n++
			}
		}
		return n
	}
	for w := range 2 {
		working.Go(func() {
			for !stop.Load() || left() > 0 {
				deliveries, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: fmt.Sprint("w", w), Max: 32})
				if err != nil && !errors.Is(err, job.ErrUnavailable) {
					t.Error("read:", err)
					return
				}
				for _, d := range deliveries {
					await(t, b.ctx, func() bool { // repeating it is safe
						_, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted})
						if err != nil && !errors.Is(err, job.ErrUnavailable) {
							t.Error("complete:", d.Task.JobID, err)
						}
						return !errors.Is(err, job.ErrUnavailable)
					})
					mu.Lock()
					if completed[d.Task.JobID] {
						t.Error("delivered twice:", d.Task.JobID)
					}
					completed[d.Task.JobID] = true
					mu.Unlock()
				}
			}
		})
	}
	enough := func() {
		mu.Lock()
		start := len(completed)
		mu.Unlock()
		await(t, b.ctx, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(completed) > start+200
		})
	}
	enough()
	m.begin(t)
	for keys := m.keys(); len(keys) > 0; keys = m.keys() { // keys that are created meanwhile are created on the other node
		m.migrate(t, keys)
	}
	m.end(t)
	enough()
	stop.Store(true)
	publishing.Wait()
	working.Wait()
	refused := 0
	for id, ok := range published {
		if !ok {
			refused++
		}
		if ok != completed[id] {
			t.Errorf("%s: published %t, completed %t", id, ok, completed[id])
		}
	}
	t.Logf("%d tasks, %d refused while the slot moved", len(published), refused)
}
