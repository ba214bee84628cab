package broker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A fair queue supports everything that belongs to the life of a task.
func TestTaskLifeInAFairQueue(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupFair(t, e, job.QueueSettings{MaxLength: 12})
		first := queue.PublishRequest{PublishOptions: queue.PublishOptions{RequestID: "r"}, Task: job.Task{JobID: "again", OrganizationID: "x", CreatedAt: time.Unix(1, 0)}}
		for i := range 2 {
			if p, twice, err := b.broker.Publish(b.ctx, first); err != nil || twice != (i == 1) || p.EntryID != "" {
				t.Fatalf(`Publish: %+v, %+v, %v; want twice == (i == 1) and p.EntryID == ""`, p, twice, err)
			}
		}
		retried := b.readOne(t, "w")
		b.flood(t, "a", 8)
		if err := b.nack(queue.NackRequest{Token: retried.Lease.Token(), Delay: new(time.Duration(0)), Reason: "later"}); err != nil {
			t.Fatal(err)
		}
		if n := len(b.stream(t, job.DefaultQueue)); n != 1 {
			t.Error(n, "tasks are in the stream, want 1 before the next read")
		}
		for _, delay := range []time.Duration{time.Hour, 2 * time.Hour} {
			if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: delay.String(), OrganizationID: "y"}, Delay: delay}); err != nil {
				t.Fatal(err)
			}
		}
		q, err := b.broker.Queue(b.ctx, "")
		if err != nil || q.Waiting != 9 || q.Delayed != 2 || q.Groups[0].Waiting != 9 {
			t.Errorf("%+v, %v", q, err)
		}
		if _, _, err := b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{Tasks: []job.Task{{}, {}}}); !errors.Is(err, job.ErrQueueFull) {
			t.Errorf("PublishBatch: %v; want the error ErrQueueFull", err)
		}
		if info, err := b.broker.Job(b.ctx, "again"); err != nil || info.Place.Where != queue.WhereWaiting || info.Place.Reason != "later" || info.Place.Failures != 1 {
			t.Errorf("%+v, %v", info, err)
		}
		b.cancel(t, "a-7", job.StatusPending)
		b.events(t, "a-7", "cancelled")
		b.travel(t)
		seen := map[string]int{}
		for range 10 {
			d := b.readOne(t, "w")
			seen[d.Task.JobID] = d.Attempt
			if d.Task.JobID == "a-3" {
				err = b.nack(queue.NackRequest{Token: d.Lease.Token(), DeadLetter: true})
			} else {
				_, err = b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		want := map[string]int{"again": 2, "1h0m0s": 1, "2h0m0s": 1}
		for i := range 7 {
			want[fmt.Sprint("a-", i)] = 1
		}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Error(diff)
		}
		if n, err := b.broker.Redrive(b.ctx, "", true, nil); n != 1 || err != nil {
			t.Errorf("Redrive: %+v, %v; want n == 1", n, err)
		}
		if got := b.turns(t, 1, 10); got != "a" {
			t.Error(got)
		}
		b.events(t, "a-3", "completed")
		b.flood(t, "p", 5)
		if p, err := b.broker.Purge(b.ctx, ""); err != nil || p.Waiting != 5 {
			t.Errorf("Purge: %+v, %v; want p.Waiting == 5", p, err)
		}
		b.events(t, "p-4", "cancelled")
		await(t, b.ctx, func() bool { return len(b.fairKeys(t)) == 0 })
	})
}

// Raw workers find tasks of a fair queue in its stream, tasks that raw peers publish there are delivered, and
// a publish by another server wakes a waiting read.
func TestFairQueueServesRawPeersAndOtherServers(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupFair(t, e, job.QueueSettings{FairAhead: 3})
		b.flood(t, "a", 10)
		key := b.key(job.DefaultQueue)
		b.startLate(t, job.DefaultQueue)
		if n := b.raw.XLen(b.ctx, key).Val(); n != 3 {
			t.Error(n, "tasks lie ahead")
		}
		seen := 0
		await(t, b.ctx, func() bool {
			streams, err := b.raw.XReadGroup(b.ctx, groupRead(key, job.DefaultGroup, 10)).Result()
			if err == nil {
				seen += len(streams[0].Messages)
			}
			return seen == 10
		})
		b.raw.XAdd(b.ctx, entry(key, "job_id", "raw", "organization_id", "r"))
		if got := b.turns(t, 1, 10); got != "r" {
			t.Error(got)
		}
		b.flood(t, "a", 10)
		if d := b.read(t, "w", 4); len(d) != 4 || len(b.stream(t, job.DefaultQueue))-int(b.pending(t)) != 3 {
			t.Error("after a read, other than 3 tasks lie ahead:", len(b.stream(t, job.DefaultQueue)), b.pending(t))
		}
		b.turns(t, 6, 10)
		other := b.open(t, job.Settings{Queue: job.QueueSettings{FairBy: job.FairByOrganization}})
		read := make(chan error)
		go func() {
			d, err := other.Read(b.ctx, queue.ReadRequest{Consumer: "w", Wait: longWait})
			if err == nil && (len(d) != 1 || d[0].Task.JobID != "here") {
				err = fmt.Errorf("%v", d)
			}
			read <- err
		}()
		b.publish(t, job.Task{JobID: "here"})
		if err := <-read; err != nil {
			t.Error(err)
		}
	})
}
