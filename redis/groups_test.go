package redis_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// readAs reads up to ten tasks of a queue with a group.
func (b *bundle) readAs(queue, group string) ([]redis.Delivery, error) {
	return b.broker.Read(b.ctx, redis.ReadRequest{Queue: queue, Group: group, Consumer: "w", Max: 10})
}

// work reads with a group, completes what it gets, and returns the jobs.
func (b *bundle) work(t *testing.T, queue, group string) string {
	t.Helper()
	deliveries, err := b.readAs(queue, group)
	if err != nil {
		t.Fatal(err)
	}
	var jobs []string
	for _, d := range deliveries {
		if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), redis.Result{Status: redis.StatusCompleted}); err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, d.Task.JobID)
	}
	return strings.Join(jobs, " ")
}

func (b *bundle) groupNames(t *testing.T, queue string) string {
	t.Helper()
	var names []string
	for _, g := range b.raw.XInfoGroups(b.ctx, b.key(queue)).Val() {
		names = append(names, g.Name)
	}
	return strings.Join(names, " ")
}

// A reader can't create a group by naming it: a mistyped one would keep all tasks for ever.
func TestUnknownGroup(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, redis.BrokerConfig{Queues: map[string]redis.QueueConfig{"fair": {FairBy: redis.FairByOrganization}}})
		refused := func(when, queue string) {
			t.Helper()
			for range 2 { // by the script, and by the plain commands
				_, err := b.readAs(queue, "typo")
				var group *redis.GroupError
				if !errors.Is(err, redis.ErrGroupNotFound) || !errors.As(err, &group) || group.Group != "typo" || group.Queue != queue {
					t.Errorf("%s: %v", when, err)
				}
			}
		}
		for _, queue := range []string{redis.DefaultQueue, "fair"} {
			refused("no stream", queue)
			if n := b.raw.Exists(b.ctx, b.key(queue)).Val(); n != 0 {
				t.Error("a refused reader made a stream")
			}
			for i := range 3 {
				r := redis.PublishRequest{PublishOptions: redis.PublishOptions{Queue: queue}, Task: redis.Task{JobID: fmt.Sprint(queue, i), OrganizationID: "a"}}
				if _, _, err := b.broker.Publish(b.ctx, r); err != nil {
					t.Fatal(err)
				}
			}
			before := b.raw.XLen(b.ctx, b.key(queue)).Val()
			refused("tasks wait", queue)
			if after := b.raw.XLen(b.ctx, b.key(queue)).Val(); after != before {
				t.Errorf("a refused reader moved tasks: %d and then %d", before, after)
			}
			if names := b.groupNames(t, queue); names != redis.DefaultGroup {
				t.Errorf("groups %q", names)
			}
		}
		// A raw peer's group is there.
		b.raw.XGroupCreate(b.ctx, b.key(redis.DefaultQueue), "typo", "0")
		if got := b.work(t, "", "typo"); got != "argus_task_queue0 argus_task_queue1 argus_task_queue2" {
			t.Error(got)
		}
	})
}

// A reader of an allowed group may come before the first task, and waits for it.
func TestReaderBeforeTheFirstTask(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, redis.BrokerConfig{Queues: map[string]redis.QueueConfig{"named": {Groups: redis.Groups{"one"}}, "any": {Groups: redis.Groups{redis.AnyGroup}}}})
		if created, err := b.broker.CreateGroup(b.ctx, "created", "one"); err != nil || !created {
			t.Fatal(created, err)
		}
		for _, queue := range []string{"named", "any", "created"} {
			got := make(chan string, 1)
			go func() {
				d, err := b.broker.Read(b.ctx, redis.ReadRequest{Queue: queue, Group: "one", Consumer: "w", Wait: time.Minute})
				got <- fmt.Sprint(len(d), " ", err)
			}()
			await(t, b.ctx, func() bool { return b.broker.WaitStats().Workers == 1 })
			if _, _, err := b.broker.Publish(b.ctx, redis.PublishRequest{PublishOptions: redis.PublishOptions{Queue: queue}}); err != nil {
				t.Fatal(err)
			}
			if got := <-got; got != "1 <nil>" {
				t.Errorf("%s: %s", queue, got)
			}
		}
	})
}

// A group that was created, or that the settings name, keeps what is published from then on,
// before anything reads with it; also after the stream was deleted.
func TestCreatedGroupHoldsTasks(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, redis.BrokerConfig{Queues: map[string]redis.QueueConfig{
			"settings": {Groups: redis.Groups{"archive"}}, "default": {Groups: redis.Groups{redis.DefaultGroup, "other"}}, "created": {}, "created default": {Groups: redis.Groups{"other"}}}})
		for _, c := range []struct{ queue, create, worker, holder string }{
			{"settings", "", redis.DefaultGroup, "archive"},
			{"default", "", "other", redis.DefaultGroup},
			{"created", "archive", redis.DefaultGroup, "archive"},
			{"created default", redis.DefaultGroup, "other", redis.DefaultGroup},
		} {
			publish := func(broker *redis.Broker, job string) {
				t.Helper()
				r := redis.PublishRequest{PublishOptions: redis.PublishOptions{Queue: c.queue}, Task: redis.Task{JobID: c.queue + job}}
				if _, _, err := broker.Publish(b.ctx, r); err != nil {
					t.Fatal(err)
				}
			}
			if c.holder == redis.DefaultGroup { // as if raw workers had been expected
				b.raw.XGroupCreateMkStream(b.ctx, b.key(c.queue), redis.DefaultGroup, "0")
			}
			if c.create != "" {
				for i := range 2 {
					if created, err := b.broker.CreateGroup(b.ctx, c.queue, c.create); err != nil || created != (i == 0) {
						t.Fatal(created, err)
					}
				}
			}
			for round := range 2 {
				first, second := fmt.Sprint(" first", round), fmt.Sprint(" second", round)
				publish(b.broker, first)
				publish(b.broker, second)
				want := c.queue + first + " " + c.queue + second
				if got := b.work(t, c.queue, c.worker); got != want {
					t.Fatalf("%s: %q", c.queue, got)
				}
				if err := b.broker.Clean(b.ctx); err != nil {
					t.Fatal(err)
				}
				if got := b.work(t, c.queue, c.holder); got != want {
					t.Errorf("%s: the group that keeps them got %q", c.queue, got)
				}
				if n := b.raw.XLen(b.ctx, b.key(c.queue)).Val(); n != 0 {
					t.Errorf("%s: %d entries are left", c.queue, n)
				}
				b.raw.Del(b.ctx, b.key(c.queue))
				b.broker = b.open(t, redis.BrokerConfig{Queues: map[string]redis.QueueConfig{
					"settings": {Groups: redis.Groups{"archive"}}, "default": {Groups: redis.Groups{redis.DefaultGroup, "other"}}, "created": {}, "created default": {Groups: redis.Groups{"other"}}}})
			}
		}
	})
}

// A queue has at most 16 groups, whatever creates them, unless raw peers create more.
func TestTooManyGroups(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, redis.BrokerConfig{Queue: redis.QueueConfig{Groups: redis.Groups{redis.AnyGroup}}})
		b.publish(t, redis.Task{JobID: "job"})
		for i := range 20 {
			_, err := b.readAs("", fmt.Sprint("group-", i))
			if full := i >= redis.MaxGroups-1; errors.Is(err, redis.ErrTooManyGroups) != full || !full && err != nil {
				t.Errorf("the group after %d: %v", i+1, err)
			}
		}
		if _, err := b.broker.CreateGroup(b.ctx, "", "another"); !errors.Is(err, redis.ErrTooManyGroups) {
			t.Error(err)
		}
		if created, err := b.broker.CreateGroup(b.ctx, "", "group-3"); err != nil || !created {
			t.Error("one that is there can be kept:", created, err)
		}
		if got := b.work(t, "", redis.DefaultGroup); got != "job" {
			t.Error(got)
		}
	})
}

// What only a deleted group had still to settle is removed.
func TestDeleteGroup(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, redis.BrokerConfig{})
		b.raw.XAdd(b.ctx, entry(b.key(redis.DefaultQueue), "job_id", "job"))
		if _, err := b.broker.CreateGroup(b.ctx, "", "archive"); err != nil {
			t.Fatal(err)
		}
		b.publish(t, redis.Task{JobID: "job"})
		d, err := b.readAs("", "archive")
		if err != nil || len(d) != 2 {
			t.Fatal(d, err)
		}
		if got := b.work(t, "", ""); got != "job job" {
			t.Fatal(got)
		}
		if err := b.broker.DeleteGroup(b.ctx, "", "archive", false); !errors.Is(err, redis.ErrGroupInUse) {
			t.Error(err)
		}
		if err := b.broker.DeleteGroup(b.ctx, "", "archive", true); err != nil {
			t.Error(err)
		}
		if _, err := b.broker.Complete(b.ctx, d[0].Lease.Token(), redis.Result{Status: redis.StatusCompleted}); !errors.Is(err, redis.ErrLeaseLost) && err != nil {
			t.Error(err)
		}
		if err := b.broker.DeleteGroup(b.ctx, "", "archive", false); !errors.Is(err, redis.ErrGroupNotFound) {
			t.Error(err)
		}
		if err := b.broker.DeleteGroup(b.ctx, "", redis.DefaultGroup, true); !errors.Is(err, redis.ErrInvalid) {
			t.Error(err)
		}
		if _, err := b.readAs("", "archive"); !errors.Is(err, redis.ErrGroupNotFound) {
			t.Error(err)
		}
		if err := b.broker.Clean(b.ctx); err != nil {
			t.Fatal(err)
		}
		if left := b.stream(t, redis.DefaultQueue); len(left) != 0 {
			t.Error(left)
		}
	})
}

// A group that keeps tasks and that nothing reads with is shown, and warned of once.
func TestUnreadGroup(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		log := &logged{}
		b := setup(t, e, redis.BrokerConfig{Logger: newLog(log)})
		old := func(ago time.Duration) {
			b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key(redis.DefaultQueue), ID: fmt.Sprint(time.Now().Add(-ago).UnixMilli(), "-0"), Values: []any{"job_id", "job"}})
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
		b.raw.XGroupCreate(b.ctx, b.key(redis.DefaultQueue), redis.DefaultGroup, "0")
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
