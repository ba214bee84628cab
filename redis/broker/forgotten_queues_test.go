package broker_test

import (
	"slices"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A queue that holds nothing and that nothing reads from is forgotten with all its keys.
func TestUnusedQueuesAreForgotten(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{"named": {}}})
		queues := []string{"done", "unread", "read", "held", "waiting", "delayed", "dead", "paused", "grouped", "named"}
		kept := slices.Clone(queues[3:])
		for _, name := range queues {
			b.publishTo(t, name)
		}
		for _, name := range []string{"done", "read", "held", "delayed", "dead", "paused", "grouped", "named"} {
			d, err := b.readAs(name, "")
			if err != nil || len(d) != 1 {
				t.Fatalf("readAs: %+v, %v; want len(d) == 1", d, err)
			}
			switch token := d[0].Lease.Token(); name {
			case "held":
			case "delayed":
				err = b.nack(queue.NackRequest{Token: token, Delay: new(time.Hour)})
			case "dead":
				err = b.nack(queue.NackRequest{Token: token, DeadLetter: true})
			default:
				_, err = b.broker.Ack(b.ctx, []string{token})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.broker.Purge(b.ctx, "unread"); err != nil {
			t.Fatal(err)
		}
		if err := b.broker.Pause(b.ctx, "paused"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.broker.CreateGroup(b.ctx, "grouped", "archive"); err != nil {
			t.Fatal(err)
		}
		if err := b.broker.Leave(b.ctx, "done", job.DefaultGroup, "w"); err != nil {
			t.Fatal(err)
		}
		forget := func(idle time.Duration) {
			t.Helper()
			for _, name := range queues {
				if err := b.broker.ForgetQueue(b.ctx, name, idle); err != nil {
					t.Fatalf("ForgetQueue: %+v, %v; want no error", name, err)
				}
			}
		}
		forget(time.Hour)
		slices.Sort(queues)
		if got := b.knownQueues(); !slices.Equal(got, queues) {
			t.Errorf("before the time limit: %q are known, want %q", got, queues)
		}
		forget(0)
		forget(0)
		slices.Sort(kept)
		if got := b.knownQueues(); !slices.Equal(got, kept) {
			t.Errorf("%q are left, want %q", got, kept)
		}
		for _, name := range []string{"done", "unread", "read"} {
			if n := b.raw.Exists(b.ctx, b.key(name), b.key("argus_begins:"+name), b.key("argus_uncounted:"+name)).Val(); n != 0 {
				t.Errorf("%s: %d keys are left", name, n)
			}
		}
	})
}

// knownQueues are the queues that are known in Redis, by name.
func (b *bundle) knownQueues() []string {
	return slices.Sorted(slices.Values(b.raw.SMembers(b.ctx, b.key("argus_queues:known")).Val()))
}

// A queue that was forgotten can be used again, also by a server that did not forget it.
func TestForgottenQueueCanBeUsedAgain(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publishTo(t, "done")
		if d, err := b.readAs("done", ""); err != nil || len(d) != 1 {
			t.Fatalf("readAs: %+v, %v; want one task", d, err)
		} else {
			b.ackAll(t, d...)
		}
		if err := b.broker.Leave(b.ctx, "done", job.DefaultGroup, "w"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := b.broker.ForgetQueue(b.ctx, "done", 0); err != nil {
				t.Fatal(err)
			}
		}
		b.broker = b.open(t, job.Settings{})
		b.publishTo(t, "done")
		if err := b.broker.ForgetQueue(b.ctx, "done", 0); err != nil {
			t.Fatal(err)
		}
		b.raw.Del(b.ctx, b.key("done"))
		b.raw.SRem(b.ctx, b.key("argus_queues:known"), "done")
		b.publishTo(t, "done")
		b.raw.Del(b.ctx, b.key("done"))
		b.raw.SRem(b.ctx, b.key("argus_queues:known"), "done")
		withState := to("done")
		withState.State, withState.Task.JobID = &job.InitialState{}, "job"
		if _, _, err := b.broker.Publish(b.ctx, withState); err != nil {
			t.Fatal(err)
		}
		if got := b.work(t, "done", ""); got != "job" || !slices.Contains(b.knownQueues(), "done") {
			t.Errorf(`work: %+v, %+v; want got == "job" and slices.Contains(b.knownQueues(), "done")`, got, b.knownQueues())
		}
	})
}
