package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// listsTasks is a Broker.
type listsTasks interface {
	ListTasks(ctx context.Context, l admin.TaskQuery) ([]admin.ListedTask, string, error)
}

// listAll lists all tasks of a place in pages of a size, as "job where consumer".
func (b *bundle) listAll(t *testing.T, from listsTasks, l admin.TaskQuery, size int) []string {
	t.Helper()
	l.Count = size
	var all []string
	for {
		tasks, next, err := from.ListTasks(b.ctx, l)
		if err != nil || len(tasks) > size {
			t.Fatal(tasks, err)
		}
		for _, task := range tasks {
			all = append(all, strings.TrimSpace(fmt.Sprint(task.Task.JobID, " ", task.Where, " ", task.Consumer)))
		}
		if l.After = next; next == "" {
			return all
		}
	}
}

// Whatever the size of the pages, each task is listed once, in the place where it is.
func TestListedTasksAreThoseOfTheirPlace(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for i := range 9 {
			b.publish(t, job.Task{JobID: fmt.Sprint("job-", i)})
		}
		for range 2 {
			if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w1").Lease.Token(), DeadLetter: true, Reason: "bad"}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3 { // at times that are not the same
			if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w1").Lease.Token(), Delay: new(time.Duration(i+1) * time.Hour), Reason: "later"}); err != nil {
				t.Fatal(err)
			}
		}
		b.expire(t, b.readOne(t, "vanished").Lease)
		lagging := b.key(job.DefaultQueue)
		b.raw.XGroupCreate(b.ctx, lagging, "second", "0")
		b.raw.XReadGroup(b.ctx, groupRead(lagging, "second", 1))
		for where, want := range map[queue.Where][]string{
			queue.WhereWaiting: {"job-6 WAITING", "job-7 WAITING", "job-8 WAITING"},
			queue.WhereLeased:  {"job-5 WAITING vanished", "job-5 LEASED raw"},
			queue.WhereDelayed: {"job-2 DELAYED", "job-3 DELAYED", "job-4 DELAYED"},
			queue.WhereDead:    {"job-0 DEAD", "job-1 DEAD"},
		} {
			for _, size := range []int{1, 2, 1000} {
				got := b.listAll(t, b.broker, admin.TaskQuery{Where: where}, size)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s in pages of %d: %s", where, size, diff)
				}
			}
		}
		got := b.listAll(t, b.broker, admin.TaskQuery{Where: queue.WhereLeased, Group: "second"}, 10)
		if diff := cmp.Diff([]string{"job-5 LEASED raw"}, got); diff != "" {
			t.Error("of one group:", diff)
		}
		if got := b.listAll(t, b.broker, admin.TaskQuery{Where: queue.WhereWaiting, Group: "new"}, 10); len(got) != 4 {
			t.Error("a group that has read nothing waits for", got)
		}
		delayed, _, err := b.broker.ListTasks(b.ctx, admin.TaskQuery{Where: queue.WhereDelayed, Count: 1})
		if err != nil || len(delayed) != 1 || time.Until(delayed[0].DueAt) < 50*time.Minute || delayed[0].Reason != "later" || delayed[0].Queue != job.DefaultQueue {
			t.Errorf(`ListTasks: %+v, %v; want len(delayed) == 1 and time.Until(delayed[0].DueAt) >= 50*time.Minute and delayed[0].Reason == "later" and delayed[0].Queue == job.DefaultQueue`, delayed, err)
		}
	})
}

// A task that waits for one group alone is listed for that group.
func TestTaskForOneGroupIsListedForIt(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		key := b.key(job.DefaultQueue)
		b.raw.XAdd(b.ctx, entry(key, "job_id", "own", "argus_for_group", "a"))
		b.raw.XAdd(b.ctx, entry(key, "job_id", "other", "argus_for_group", "b"))
		b.raw.XAdd(b.ctx, entry(key, "nonsense", "1"))
		for group, want := range map[string][]string{"a": {"own WAITING", "WAITING"}, "": {"own WAITING", "other WAITING", "WAITING"}} {
			for _, size := range []int{1, 10} {
				if diff := cmp.Diff(want, b.listAll(t, b.broker, admin.TaskQuery{Where: queue.WhereWaiting, Group: group}, size)); diff != "" {
					t.Errorf("%q in pages of %d: %s", group, size, diff)
				}
			}
		}
	})
}

// The backlog of a fair queue is listed as waiting too.
func TestBacklogOfAFairQueueIsListed(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupFair(t, e, job.QueueSettings{})
		b.readNothing(t, func() bool { return true })
		b.flood(t, "a", 12)
		b.flood(t, "b", 3)
		b.raw.ZAdd(b.ctx, b.key("argus_fair:"+job.DefaultQueue), score(0, "nonsense"))
		for _, size := range []int{1, 4, 100} {
			got := b.listAll(t, b.broker, admin.TaskQuery{Where: queue.WhereWaiting}, size)
			jobs := slices.Compact(slices.Sorted(slices.Values(got)))
			if len(got) != 16 || len(jobs) != 16 {
				t.Errorf("in pages of %d: %q", size, got)
			}
		}
	})
}

// A page is limited in bytes: large tasks take more pages, and none is left out.
func TestPageOfLargeTasksIsLimitedInBytes(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		large := strings.Repeat("x", 1<<20)
		for i := range 24 {
			b.publish(t, job.Task{JobID: fmt.Sprint("job-", i), ReportID: large})
		}
		tasks, next, err := b.broker.ListTasks(b.ctx, admin.TaskQuery{Where: queue.WhereWaiting, Count: 1000})
		if err != nil || len(tasks) >= 24 || len(tasks) == 0 || next == "" || tasks[0].Task.ReportID != "" {
			t.Errorf(`ListTasks: %+v, %+v, %v; want len(tasks) < 24 and len(tasks) != 0 and next != "" and tasks[0].Task.ReportID == ""`, len(tasks), next, err)
		}
		if all := b.listAll(t, b.broker, admin.TaskQuery{Where: queue.WhereWaiting}, 1000); len(all) != 24 {
			t.Error(len(all), "were listed")
		}
	})
}

// A list continues from shard to shard, in pages of any size.
func TestTasksOfAllShardsAreListed(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		var want []string
		for i := range shardCount {
			jobs := []string{jobIn(i, 1), jobIn(i, 2)}
			s.publishAll(t, "", jobs...)
			want = append(want, jobs[0]+" WAITING", jobs[1]+" WAITING")
		}
		for _, size := range []int{1, 3, 100} {
			if diff := cmp.Diff(want, s.listAll(t, s.Broker, admin.TaskQuery{Where: queue.WhereWaiting}, size)); diff != "" {
				t.Errorf("in pages of %d: %s", size, diff)
			}
		}
		if _, _, err := s.ListTasks(s.ctx, admin.TaskQuery{Where: queue.WhereWaiting, Count: 1, Queue: "none"}); !errors.Is(err, job.ErrQueueNotFound) {
			t.Errorf("ListTasks: %v; want the error ErrQueueNotFound", err)
		}
	})
}

// A list of an unknown queue or place, or with a bad token, is refused.
func TestTaskListRefusesBadArguments(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for name, c := range map[string]struct {
			list admin.TaskQuery
			want error
		}{
			"queue":  {admin.TaskQuery{Where: queue.WhereDead, Queue: "none"}, job.ErrQueueNotFound},
			"place":  {admin.TaskQuery{Where: "UNSPECIFIED"}, job.ErrInvalid},
			"token":  {admin.TaskQuery{Where: queue.WhereDead, After: "x"}, job.ErrInvalid},
			"inside": {admin.TaskQuery{Where: queue.WhereDelayed, After: "ZGVsYXllZAB4"}, job.ErrInvalid}, // "delayed\0x"
		} {
			c.list.Count = 1
			if _, _, err := b.broker.ListTasks(b.ctx, c.list); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
	})
}
