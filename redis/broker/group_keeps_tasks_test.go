package broker_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A group that was created, or that the settings name, keeps what is published from then on, before any
// worker reads with it; also after the stream was deleted.
func TestCreatedGroupKeepsTasksUntilRead(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{
			"settings": {Groups: job.Groups{"archive"}}, "default": {Groups: job.Groups{job.DefaultGroup, "other"}}, "created": {}, "created default": {Groups: job.Groups{"other"}}}})
		for _, c := range []struct{ name, create, worker, holder string }{
			{"settings", "", job.DefaultGroup, "archive"},
			{"default", "", "other", job.DefaultGroup},
			{"created", "archive", job.DefaultGroup, "archive"},
			{"created default", job.DefaultGroup, "other", job.DefaultGroup},
		} {
			publish := func(server *broker.Broker, id string) {
				t.Helper()
				r := queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: c.name}, Task: job.Task{JobID: c.name + id}}
				if _, _, err := server.Publish(b.ctx, r); err != nil {
					t.Fatal(err)
				}
			}
			if c.holder == job.DefaultGroup { // as if raw workers had been expected
				b.raw.XGroupCreateMkStream(b.ctx, b.key(c.name), job.DefaultGroup, "0")
			}
			if c.create != "" {
				for i := range 2 {
					if created, err := b.broker.CreateGroup(b.ctx, c.name, c.create); err != nil || created != (i == 0) {
						t.Fatalf("CreateGroup: %+v, %v; want created == (i == 0)", created, err)
					}
				}
			}
			for round := range 2 {
				first, second := fmt.Sprint(" first", round), fmt.Sprint(" second", round)
				publish(b.broker, first)
				publish(b.broker, second)
				want := c.name + first + " " + c.name + second
				if got := b.work(t, c.name, c.worker); got != want {
					t.Fatalf("%s: %q", c.name, got)
				}
				if err := b.broker.Clean(b.ctx); err != nil {
					t.Fatal(err)
				}
				if got := b.work(t, c.name, c.holder); got != want {
					t.Errorf("%s: the group that keeps them got %q", c.name, got)
				}
				if n := b.raw.XLen(b.ctx, b.key(c.name)).Val(); n != 0 {
					t.Errorf("%s: %d entries are left", c.name, n)
				}
				b.raw.Del(b.ctx, b.key(c.name))
				b.broker = b.open(t, job.Settings{Queues: map[string]job.QueueSettings{
					"settings": {Groups: job.Groups{"archive"}}, "default": {Groups: job.Groups{job.DefaultGroup, "other"}}, "created": {}, "created default": {Groups: job.Groups{"other"}}}})
			}
		}
	})
}

// Entries that only a deleted group had not settled are removed.
func TestDeletedGroupKeepsNoTasks(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), "job_id", "job"))
		if _, err := b.broker.CreateGroup(b.ctx, "", "archive"); err != nil {
			t.Fatal(err)
		}
		b.publish(t, job.Task{JobID: "job"})
		d, err := b.readAs("", "archive")
		if err != nil || len(d) != 2 {
			t.Fatalf("readAs: %+v, %v; want len(d) == 2", d, err)
		}
		if got := b.work(t, "", ""); got != "job job" {
			t.Fatalf(`work: %+v; want got == "job job"`, got)
		}
		if err := b.broker.DeleteGroup(b.ctx, "", "archive", false); !errors.Is(err, job.ErrGroupInUse) {
			t.Errorf("DeleteGroup: %v; want the error ErrGroupInUse", err)
		}
		if err := b.broker.DeleteGroup(b.ctx, "", "archive", true); err != nil {
			t.Error(err)
		}
		if _, err := b.broker.Complete(b.ctx, d[0].Lease.Token(), job.Result{Status: job.StatusCompleted}); !errors.Is(err, job.ErrLeaseLost) && err != nil {
			t.Error(err)
		}
		if err := b.broker.DeleteGroup(b.ctx, "", "archive", false); !errors.Is(err, job.ErrGroupNotFound) {
			t.Errorf("DeleteGroup: %v; want the error ErrGroupNotFound", err)
		}
		if err := b.broker.DeleteGroup(b.ctx, "", job.DefaultGroup, true); !errors.Is(err, job.ErrInvalid) {
			t.Errorf("DeleteGroup: %v; want the error ErrInvalid", err)
		}
		if _, err := b.readAs("", "archive"); !errors.Is(err, job.ErrGroupNotFound) {
			t.Errorf("readAs: %v; want the error ErrGroupNotFound", err)
		}
		if err := b.broker.Clean(b.ctx); err != nil {
			t.Fatal(err)
		}
		if left := b.stream(t, job.DefaultQueue); len(left) != 0 {
			t.Error(left)
		}
	})
}

// A group that keeps tasks and that no worker reads with is shown, and one warning is logged.
func TestUnreadGroupIsReportedOnce(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		log := &logged{}
		b := setup(t, e, job.Settings{Logger: newLog(log)})
		old := func(ago time.Duration) {
			b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key(job.DefaultQueue), ID: fmt.Sprint(time.Now().Add(-ago).UnixMilli(), "-0"), Values: []any{"job_id", "job"}})
		}
		show := func() string {
			t.Helper()
			q, err := b.broker.Queue(b.ctx, "")
			if err != nil {
				t.Fatal(err)
			}
			var text []string
			for _, g := range q.Groups {
				text = append(text, fmt.Sprint(g.Name, " ", g.Idle >= 0, " ", g.Unread))
			}
			slices.Sort(text)
			return strings.Join(text, ", ")
		}
		old(time.Hour)
		old(time.Minute)
		if _, err := b.broker.CreateGroup(b.ctx, "", "archive"); err != nil {
			t.Fatal(err)
		}
		b.raw.XGroupCreate(b.ctx, b.key(job.DefaultQueue), job.DefaultGroup, "0")
		if got := b.work(t, "", ""); got != "job job" {
			t.Fatalf(`work: %+v; want got == "job job"`, got)
		}
		if got, want := show(), "archive false true, argus-workers true false"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		for range 2 {
			if err := b.broker.Clean(b.ctx); err != nil {
				t.Fatal(err)
			}
		}
		if n := strings.Count(log.text.String(), "nothing reads with"); n != 1 {
			t.Errorf("%d warnings", n)
		}
		if got := b.work(t, "", "archive"); got != "job job" {
			t.Errorf(`work: %+v; want got == "job job"`, got)
		}
		if got, want := show(), "archive true false, argus-workers true false"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// A task that one group settled remains for a group that was created meanwhile.
func TestAckInOneGroupKeepsTheTaskForAnother(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "a"})
		d := b.readOne(t, "w")
		if err := b.raw.XGroupCreate(b.ctx, b.key(job.DefaultQueue), "second", "0").Err(); err != nil {
			t.Fatal(err)
		}
		if r, err := b.broker.Ack(b.ctx, []string{d.Lease.Token()}); err != nil || r[0].Outcome != queue.Acked {
			t.Fatalf("Ack: %+v, %v; want r[0].Outcome == queue.Acked", r, err)
		}
		other, err := b.broker.Read(b.ctx, queue.ReadRequest{Group: "second", Consumer: "w"})
		if err != nil || len(other) != 1 {
			t.Error("the second group lost the task:", other, err)
		}
	})
}
