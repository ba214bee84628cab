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

// readAs reads up to ten tasks of a queue with a group.
func (b *bundle) readAs(name, group string) ([]queue.Delivery, error) {
	return b.broker.Read(b.ctx, queue.ReadRequest{Queue: name, Group: group, Consumer: "w", Max: 10})
}

// work reads with a group, completes what it gets, and returns the jobs.
func (b *bundle) work(t *testing.T, name, group string) string {
	t.Helper()
	deliveries, err := b.readAs(name, group)
	if err != nil {
		t.Fatal(err)
	}
	var jobs []string
	for _, d := range deliveries {
		if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, d.Task.JobID)
	}
	return strings.Join(jobs, " ")
}

func (b *bundle) groupNames(t *testing.T, name string) string {
	t.Helper()
	var names []string
	for _, g := range b.raw.XInfoGroups(b.ctx, b.key(name)).Val() {
		names = append(names, g.Name)
	}
	return strings.Join(names, " ")
}

// A reader can't create a group by naming it: a mistyped one would keep all tasks for ever.
func TestUnknownGroup(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{"fair": {FairBy: job.FairByOrganization}}})
		refused := func(when, name string) {
			t.Helper()
			for range 2 { // by the script, and by the plain commands
				_, err := b.readAs(name, "typo")
				var group *job.GroupError
				if !errors.Is(err, job.ErrGroupNotFound) || !errors.As(err, &group) || group.Group != "typo" || group.Queue != name {
					t.Errorf("%s: %v", when, err)
				}
			}
		}
		for _, name := range []string{job.DefaultQueue, "fair"} {
			refused("no stream", name)
			if n := b.raw.Exists(b.ctx, b.key(name)).Val(); n != 0 {
				t.Error("a refused reader made a stream")
			}
			for i := range 3 {
				r := queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: name}, Task: job.Task{JobID: fmt.Sprint(name, i), OrganizationID: "a"}}
				if _, _, err := b.broker.Publish(b.ctx, r); err != nil {
					t.Fatal(err)
				}
			}
			before := b.raw.XLen(b.ctx, b.key(name)).Val()
			refused("tasks wait", name)
			if after := b.raw.XLen(b.ctx, b.key(name)).Val(); after != before {
				t.Errorf("a refused reader moved tasks: %d and then %d", before, after)
			}
			if names := b.groupNames(t, name); names != job.DefaultGroup {
				t.Errorf("groups %q", names)
			}
		}
		// A raw peer's group is there.
		b.raw.XGroupCreate(b.ctx, b.key(job.DefaultQueue), "typo", "0")
		if got := b.work(t, "", "typo"); got != "argus_task_queue0 argus_task_queue1 argus_task_queue2" {
			t.Error(got)
		}
	})
}

// A reader of an allowed group may come before the first task, and waits for it.
func TestReaderBeforeTheFirstTask(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{"named": {Groups: job.Groups{"one"}}, "any": {Groups: job.Groups{job.AnyGroup}}}})
		if created, err := b.broker.CreateGroup(b.ctx, "created", "one"); err != nil || !created {
			t.Fatal(created, err)
		}
		for _, name := range []string{"named", "any", "created"} {
			got := make(chan string, 1)
			go func() {
				d, err := b.broker.Read(b.ctx, queue.ReadRequest{Queue: name, Group: "one", Consumer: "w", Wait: time.Minute})
				got <- fmt.Sprint(len(d), " ", err)
			}()
			await(t, b.ctx, func() bool { return b.broker.WaitStats().Workers == 1 })
			if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: name}}); err != nil {
				t.Fatal(err)
			}
			if got := <-got; got != "1 <nil>" {
				t.Errorf("%s: %s", name, got)
			}
		}
	})
}

// A group that was created, or that the settings name, keeps what is published from then on,
// before anything reads with it; also after the stream was deleted.
func TestCreatedGroupHoldsTasks(t *testing.T) {
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
			publish := func(br *broker.Broker, id string) {
				t.Helper()
				r := queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: c.name}, Task: job.Task{JobID: c.name + id}}
				if _, _, err := br.Publish(b.ctx, r); err != nil {
					t.Fatal(err)
				}
			}
			if c.holder == job.DefaultGroup { // as if raw workers had been expected
				b.raw.XGroupCreateMkStream(b.ctx, b.key(c.name), job.DefaultGroup, "0")
			}
			if c.create != "" {
				for i := range 2 {
					if created, err := b.broker.CreateGroup(b.ctx, c.name, c.create); err != nil || created != (i == 0) {
						t.Fatal(created, err)
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

// A queue has at most 16 groups, whatever creates them, unless raw peers create more.
func TestTooManyGroups(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{Groups: job.Groups{job.AnyGroup}}})
		b.publish(t, job.Task{JobID: "job"})
		for i := range 20 {
			_, err := b.readAs("", fmt.Sprint("group-", i))
			if full := i >= job.MaxGroups-1; errors.Is(err, job.ErrTooManyGroups) != full || !full && err != nil {
				t.Errorf("the group after %d: %v", i+1, err)
			}
		}
		if _, err := b.broker.CreateGroup(b.ctx, "", "another"); !errors.Is(err, job.ErrTooManyGroups) {
			t.Error(err)
		}
		if created, err := b.broker.CreateGroup(b.ctx, "", "group-3"); err != nil || !created {
			t.Error("one that is there can be kept:", created, err)
		}
		if got := b.work(t, "", job.DefaultGroup); got != "job" {
			t.Error(got)
		}
	})
}

// What only a deleted group had still to settle is removed.
func TestDeleteGroup(t *testing.T) {
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
			t.Fatal(d, err)
		}
		if got := b.work(t, "", ""); got != "job job" {
			t.Fatal(got)
		}
		if err := b.broker.DeleteGroup(b.ctx, "", "archive", false); !errors.Is(err, job.ErrGroupInUse) {
			t.Error(err)
		}
		if err := b.broker.DeleteGroup(b.ctx, "", "archive", true); err != nil {
			t.Error(err)
		}
		if _, err := b.broker.Complete(b.ctx, d[0].Lease.Token(), job.Result{Status: job.StatusCompleted}); !errors.Is(err, job.ErrLeaseLost) && err != nil {
			t.Error(err)
		}
		if err := b.broker.DeleteGroup(b.ctx, "", "archive", false); !errors.Is(err, job.ErrGroupNotFound) {
			t.Error(err)
		}
		if err := b.broker.DeleteGroup(b.ctx, "", job.DefaultGroup, true); !errors.Is(err, job.ErrInvalid) {
			t.Error(err)
		}
		if _, err := b.readAs("", "archive"); !errors.Is(err, job.ErrGroupNotFound) {
			t.Error(err)
		}
		if err := b.broker.Clean(b.ctx); err != nil {
			t.Fatal(err)
		}
		if left := b.stream(t, job.DefaultQueue); len(left) != 0 {
			t.Error(left)
		}
	})
}

// A group that keeps tasks and that nothing reads with is shown, and warned of once.
func TestUnreadGroup(t *testing.T) {
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
			t.Fatal(got)
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
			t.Error(got)
		}
		if got, want := show(), "archive true false, argus-workers true false"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}
