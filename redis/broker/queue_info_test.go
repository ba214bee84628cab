package broker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// setupPlaces puts a job into each place: job-0 is dead, job-1 delayed, job-2 leased by w2, job-3 waiting,
// and the job delayed is delayed in another queue.
func setupPlaces(t *testing.T, e redistest.Engine) (b *bundle, leased queue.Delivery) {
	t.Helper()
	b = setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{"configured": {}}})
	for i := range 4 {
		b.publish(t, job.Task{JobID: fmt.Sprint("job-", i)})
	}
	if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: "later"}, Task: job.Task{JobID: "delayed"}, Delay: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w1").Lease.Token(), DeadLetter: true, Reason: "bad"}); err != nil {
		t.Fatal(err)
	}
	if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w1").Lease.Token(), Delay: new(time.Hour), Reason: "later"}); err != nil {
		t.Fatal(err)
	}
	return b, b.readOne(t, "w2")
}

// Queues are described with what they hold in each place, those of the settings included.
func TestQueuesAreDescribedByWhatTheyHold(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b, _ := setupPlaces(t, e)
		queues, _, err := b.broker.Queues(b.ctx, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, q := range queues {
			got = append(got, fmt.Sprintf("%s waiting %d leased %d delayed %d dead %d groups %d oldest %t",
				q.Name, q.Waiting, q.Leased, q.Delayed, q.Dead, len(q.Groups), q.Oldest.IsZero()))
		}
		want := []string{"argus_task_queue waiting 1 leased 1 delayed 1 dead 1 groups 1 oldest false",
			"configured waiting 0 leased 0 delayed 0 dead 0 groups 0 oldest true", "later waiting 0 leased 0 delayed 1 dead 0 groups 0 oldest true"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error("queues (-want +got):", diff)
		}
		if _, err := b.broker.Queue(b.ctx, "none"); !errors.Is(err, job.ErrQueueNotFound) {
			t.Errorf("a queue that does not exist: %v", err)
		}
	})
}

// Consumers are listed with the number of their leases, and leases with their tasks.
func TestConsumersAndLeasesAreListed(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b, leased := setupPlaces(t, e)
		consumers, err := b.broker.Consumers(b.ctx, "", "")
		if err != nil || len(consumers) != 2 || consumers[1].Name != "w2" || consumers[1].Pending != 1 || consumers[0].Pending != 0 {
			t.Errorf("consumers %+v, %v, want w1 without and w2 with a lease", consumers, err)
		}
		pending, err := b.broker.Pending(b.ctx, "", "", "", 10)
		if err != nil || len(pending) != 1 || pending[0].Consumer != "w2" || pending[0].Task.JobID != leased.Task.JobID || pending[0].Where != queue.WhereLeased {
			t.Fatalf("leases %+v, %v, want that of w2", pending, err)
		}
		if after, err := b.broker.Pending(b.ctx, "", "", pending[0].EntryID, 10); err != nil || len(after) != 0 {
			t.Errorf("leases after the last one: %+v, %v", after, err)
		}
	})
}

// A job is found in every place, with what is known of its task there.
func TestJobIsFoundInItsPlace(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b, leased := setupPlaces(t, e)
		find := func(id string, where queue.Where) admin.JobInfo {
			t.Helper()
			info, err := b.broker.Job(b.ctx, id)
			if err != nil || info.Place.Where != where || info.Place.Task.JobID != id || info.Place.PublishedAt.IsZero() {
				t.Errorf("%s: %+v, %v, want it %s", id, info, err, where)
			}
			return info
		}
		find("job-3", queue.WhereWaiting)
		find("delayed", queue.WhereDelayed)
		if info := find("job-0", queue.WhereDead); info.Place.Cause != queue.CauseRejected || info.Place.Reason != "bad" || info.Result == nil || info.Status != job.StatusFailed {
			t.Errorf("the dead job is %+v", info)
		}
		if p := find("job-1", queue.WhereDelayed).Place; p.Reason != "later" || p.Failures != 1 || p.Attempts != 1 || time.Until(p.DueAt) < 50*time.Minute {
			t.Errorf("the delayed task is %+v", p)
		}
		if p := find("job-2", queue.WhereLeased).Place; p.Consumer != "w2" || p.Group != job.DefaultGroup || time.Until(p.LeaseExpires) < job.DefaultLease/2 {
			t.Errorf("the leased task is %+v", p)
		}
		b.expire(t, leased.Lease)
		find("job-2", queue.WhereWaiting)
		if _, err := b.broker.Job(b.ctx, "unknown"); !errors.Is(err, job.ErrJobNotFound) {
			t.Errorf("an unknown job: %v", err)
		}
	})
}

// Tasks that raw peers acknowledged and left in the stream are not counted as waiting.
func TestTasksThatRawPeersAcknowledgedDoNotWait(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for i := range 10 {
			b.publish(t, job.Task{JobID: fmt.Sprint("job-", i)})
		}
		held := b.readOne(t, "w") // keeps the cleaner from removing what lies behind it
		b.rawRead(t, job.DefaultQueue, job.DefaultGroup)
		for _, p := range b.raw.XPendingExt(b.ctx, pendingOf(b.key(job.DefaultQueue), job.DefaultGroup)).Val()[1:8] {
			b.raw.XAck(b.ctx, b.key(job.DefaultQueue), job.DefaultGroup, p.ID)
		}
		b.publish(t, job.Task{JobID: "next"})
		q, err := b.broker.Queue(b.ctx, "")
		if err != nil || q.Waiting != 1 || q.Leased != 3 || len(q.Groups) != 1 || q.Groups[0].Waiting != 1 {
			t.Errorf("%+v %v, want 1 waiting and 3 leased", q, err)
		}
		for id, want := range map[string]queue.Where{held.Task.JobID: queue.WhereLeased, "job-3": queue.WhereNowhere, "job-9": queue.WhereLeased, "next": queue.WhereWaiting} {
			b.raw.HSet(b.ctx, b.key("job_state:"+id), "f", "v")
			if info, err := b.broker.Job(b.ctx, id); err != nil || info.Place.Where != want {
				t.Errorf("%s is %q %v, want %q", id, info.Place.Where, err, want)
			}
		}
		// A purge ends only jobs whose tasks were still to be done.
		purged, err := b.broker.Purge(b.ctx, "")
		if err != nil || purged.Waiting != 1 || purged.Leased != 3 {
			t.Errorf("%+v %v, want 1 waiting and 3 leased", purged, err)
		}
		b.events(t, "job-3")
		b.events(t, "next", "cancelled")
	})
}

// Leftovers are removed before the waiting tasks are counted when there are too many to count one by one.
func TestWaitingCountIsExactBesideManyLeftovers(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		tasks := make([]job.Task, job.MaxBatch)
		for i := range tasks {
			tasks[i].JobID = fmt.Sprint("job-", i)
		}
		for range 3 {
			if _, _, err := b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{Tasks: tasks}); err != nil {
				t.Fatal(err)
			}
		}
		for len(b.rawWork(t, job.DefaultQueue, job.DefaultGroup)) > 0 || b.pending(t) > 0 {
		}
		b.publish(t, job.Task{JobID: "next"})
		if q, err := b.broker.Queue(b.ctx, ""); err != nil || q.Waiting != 1 {
			t.Errorf("%d wait, want 1; %v", q.Waiting, err)
		}
	})
}
