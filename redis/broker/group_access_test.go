package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func (b *bundle) groupNames(t *testing.T, name string) string {
	t.Helper()
	var names []string
	for _, g := range b.raw.XInfoGroups(b.ctx, b.key(name)).Val() {
		names = append(names, g.Name)
	}
	return strings.Join(names, " ")
}

// A reader can't create a group by naming it: a mistyped one would keep all tasks for ever.
func TestReadCreatesNoUnknownGroup(t *testing.T) {
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
			t.Errorf(`work: %+v; want got == "argus_task_queue0 argus_task_queue1 argus_task_queue2"`, got)
		}
	})
}

// A reader of an allowed group may come before the first task, and waits for it.
func TestReadMayWaitBeforeTheFirstTask(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{"named": {Groups: job.Groups{"one"}}, "any": {Groups: job.Groups{job.AnyGroup}}}})
		if created, err := b.broker.CreateGroup(b.ctx, "created", "one"); err != nil || !created {
			t.Fatalf("CreateGroup: %+v, %v; want created", created, err)
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

// A queue has at most 16 groups, whatever creates them, unless raw peers create more.
func TestNumberOfGroupsIsLimited(t *testing.T) {
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
			t.Errorf("CreateGroup: %v; want the error ErrTooManyGroups", err)
		}
		if created, err := b.broker.CreateGroup(b.ctx, "", "group-3"); err != nil || !created {
			t.Error("one that is there can be kept:", created, err)
		}
		if got := b.work(t, "", job.DefaultGroup); got != "job" {
			t.Errorf(`work: %+v; want got == "job"`, got)
		}
	})
}
