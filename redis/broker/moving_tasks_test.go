package broker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// afterFirst runs something after the first command about a key that a client sends.
type afterFirst struct {
	keys map[string]bool
	done atomic.Bool
	run  func()
}

func (a *afterFirst) DialHook(next goredis.DialHook) goredis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (a *afterFirst) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := next(ctx, cmd)
		if args := cmd.Args(); len(args) > 1 && a.keys[fmt.Sprint(args[1])] && a.done.CompareAndSwap(false, true) {
			a.run()
		}
		return err
	}
}

func (a *afterFirst) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

// whileSearching runs something after the first look at one of a queue's keys.
func (b *bundle) whileSearching(run func(), keys ...string) {
	hook := &afterFirst{keys: make(map[string]bool), run: run}
	for _, key := range keys {
		hook.keys[b.key(key)] = true
	}
	b.client.Redis().AddHook(hook)
}

// A task that moves from the backlog of a fair queue into its stream between two looks is found.
func TestTaskMovingIntoTheStreamIsFound(t *testing.T) {
	t.Parallel()
	for name, find := range map[string]func(b *bundle) error{
		"Job":    func(b *bundle) error { _, err := b.broker.Job(b.ctx, "b-0"); return err },
		"Cancel": func(b *bundle) error { _, err := b.broker.Cancel(b.ctx, "b-0", ""); return err },
	} {
		t.Run(name, func(t *testing.T) {
			redistest.Each(t, func(t *testing.T, e redistest.Engine) {
				b := setupFair(t, e, job.QueueSettings{})
				b.flood(t, "a", 1) // lies ahead
				b.flood(t, "b", 1)
				other := setup(t, e, job.Settings{Queue: job.QueueSettings{FairBy: job.FairByOrganization}})
				b.whileSearching(func() {
					other.read(t, "w", 1) // then b-0 lies ahead
				}, job.DefaultQueue, "argus_fair:"+job.DefaultQueue)
				if err := find(b); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Tasks that become due during a search of the delayed tasks hide no other task.
func TestDelayedTasksThatMoveHideNoOther(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for i := range 40 {
			_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: fmt.Sprint("job-", i)}, Delay: time.Duration(i+1) * time.Hour})
			if err != nil {
				t.Fatal(err)
			}
		}
		key := "argus_delayed:" + job.DefaultQueue
		b.whileSearching(func() { b.raw.ZPopMin(b.ctx, b.key(key), 10) }, key)
		if info, err := b.broker.Job(b.ctx, "job-15"); err != nil || info.Place.Where != queue.WhereDelayed {
			t.Errorf("Job: %+v, %v; want info.Place.Where == queue.WhereDelayed", info.Place.Where, err)
		}
	})
}

// A purge ends although tasks are published all the time.
func TestPurgeUnderSteadyPublishingEnds(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		n := 0
		publish := func() error {
			n++
			_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: fmt.Sprint("job-", n)}, Delay: time.Hour})
			return err
		}
		for range 20 {
			if err := publish(); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(b.ctx)
		defer cancel()
		var publisher error
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil && publisher == nil {
				publisher = publish()
			}
		}()
		purged, err := b.broker.Purge(b.ctx, "")
		cancel()
		<-done
		if err := errors.Join(err, publisher); err != nil && !errors.Is(err, context.Canceled) || purged.Delayed < 20 {
			t.Error(purged, err)
		}
	})
}
