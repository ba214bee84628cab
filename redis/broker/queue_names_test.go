package broker_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// to is a publish to a queue.
func to(name string) queue.PublishRequest {
	return queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: name}}
}

// New queues are refused beyond a bound, whatever makes them; those that are known, or that the
// settings name, are not.
func TestTooManyQueues(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{MaxQueues: 5, Queues: map[string]job.QueueSettings{"named": {}, "fair": {FairBy: job.FairByOrganization}}})
		for i := range 5 {
			if _, _, err := b.broker.Publish(b.ctx, to(fmt.Sprint("q", i))); err != nil {
				t.Fatal(err)
			}
		}
		withState, withID, delayed := to("new"), to("new"), to("new")
		withState.State, withID.RequestID, delayed.Delay = &job.InitialState{}, "id", time.Hour
		withState.Task.JobID = "job"
		publish := func(r queue.PublishRequest) error {
			_, _, err := b.broker.Publish(b.ctx, r)
			return err
		}
		_, errBatch := func() (any, error) {
			_, _, err := b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{PublishOptions: queue.PublishOptions{Queue: "new"}, Tasks: make([]job.Task, 2)})
			return nil, err
		}()
		_, errGroup := b.broker.CreateGroup(b.ctx, "new", "group")
		for what, err := range map[string]error{"publish": publish(to("new")), "with a state": publish(withState), "with a request id": publish(withID),
			"delayed": publish(delayed), "batch": errBatch, "pause": b.broker.Pause(b.ctx, "new"), "create group": errGroup} {
			if !errors.Is(err, job.ErrTooManyQueues) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if n := b.raw.Exists(b.ctx, b.key("new"), b.key("argus_delayed:new"), b.key("job_state:job"), b.key("argus_paused:new")).Val(); n != 0 {
			t.Error(n, "keys were written")
		}
		for range 2 { // the script, and then the plain command
			for _, name := range []string{"q0", "named", "fair", ""} {
				if err := publish(to(name)); err != nil {
					t.Errorf("%q: %v", name, err)
				}
			}
		}
		// Readers make no queue known where nothing is.
		for i := range 5 {
			if _, err := b.readAs(fmt.Sprint("none", i), ""); err != nil {
				t.Error(err)
			}
		}
		if n := b.raw.SCard(b.ctx, b.key("argus_queues:known")).Val(); n != 8 {
			t.Error(n, "queues are known")
		}
	})
}

// Queues are listed in pages, in the order of their names.
func TestQueuePages(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		var want []string
		for i := range 250 {
			want = append(want, fmt.Sprintf("q-%03d", i))
			b.raw.SAdd(b.ctx, b.key("argus_queues:known"), want[i])
			if i%3 == 0 {
				b.raw.XAdd(b.ctx, entry(b.key(want[i]), "job_id", "job"))
			}
			if i%50 == 0 {
				b.raw.Del(b.ctx, b.key(want[i]))
				b.raw.Set(b.ctx, b.key(want[i]), "of another type", 0)
			}
		}
		want = append([]string{job.DefaultQueue}, slices.DeleteFunc(want, func(name string) bool { return name[3:] == "00" || name[3:] == "50" })...)
		for _, size := range []int{7, 100, 1000} {
			var got []string
			for after := ""; ; {
				page, next, err := b.broker.Queues(b.ctx, after, size)
				if err != nil || len(page) > size {
					t.Fatal(len(page), err)
				}
				for _, q := range page {
					if got = append(got, q.Name); q.Waiting > 0 && q.Oldest.IsZero() {
						t.Error(q)
					}
				}
				if after = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("in pages of %d: %q", size, got)
			}
		}
		if _, _, err := b.broker.Queues(b.ctx, "{", 10); !errors.Is(err, job.ErrInvalid) {
			t.Error(err)
		}
	})
}

// A queue that holds nothing and that nothing reads from is forgotten with all its keys.
func TestEmptyQueuesAreForgotten(t *testing.T) {
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
				t.Fatal(d, err)
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
					t.Fatal(name, err)
				}
			}
		}
		known := func() []string {
			list := b.raw.SMembers(b.ctx, b.key("argus_queues:known")).Val()
			slices.Sort(list)
			return list
		}
		forget(time.Hour)
		slices.Sort(queues)
		if got := known(); !slices.Equal(got, queues) {
			t.Errorf("too early: %q are left", got)
		}
		forget(0)
		forget(0)
		slices.Sort(kept)
		if got := known(); !slices.Equal(got, kept) {
			t.Errorf("%q are left, want %q", got, kept)
		}
		for _, name := range []string{"done", "unread", "read"} {
			if n := b.raw.Exists(b.ctx, b.key(name), b.key("argus_begins:"+name), b.key("argus_uncounted:"+name)).Val(); n != 0 {
				t.Errorf("%s: %d keys are left", name, n)
			}
		}
		// It is a queue like any other when it is used again, also by another server.
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
		if got := b.work(t, "done", ""); got != "job" || !slices.Contains(known(), "done") {
			t.Error(got, known())
		}
	})
}

// publishTo publishes a task to a queue.
func (b *bundle) publishTo(t *testing.T, name string) {
	t.Helper()
	if _, _, err := b.broker.Publish(b.ctx, to(name)); err != nil {
		t.Fatal(err)
	}
}
