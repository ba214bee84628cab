package broker_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// Entries that raw peers acknowledged without deleting are removed, but none that a group has still to read
// or to settle.
func TestCleanerRemovesWhatAllGroupsSettled(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		const n = 2500 // more than a page
		tasks := make([]job.Task, n/5)
		for range 5 {
			if _, _, err := b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{Tasks: tasks}); err != nil {
				t.Fatal(err)
			}
		}
		key := b.key(job.DefaultQueue)
		read := func(group string, count int) []string {
			t.Helper()
			b.raw.XGroupCreate(b.ctx, key, group, "0")
			reply, err := b.raw.XReadGroup(b.ctx, groupRead(key, group, count)).Result()
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, m := range reply[0].Messages {
				ids = append(ids, m.ID)
			}
			return ids
		}
		left := func(when string, want int64) {
			t.Helper()
			if err := b.broker.Clean(b.ctx); err != nil {
				t.Fatal(err)
			}
			if got := b.raw.XLen(b.ctx, key).Val(); got != want {
				t.Errorf("%s: %d entries are left, want %d", when, got, want)
			}
		}
		left("no group", n)
		ids := read("raw", n)
		b.raw.XAck(b.ctx, key, "raw", ids[:10]...)
		b.raw.XAck(b.ctx, key, "raw", ids[20:]...)
		left("some are pending", n-10)
		read("slow", 5) // it starts at the beginning
		left("another group has not settled them", n-10)
		b.raw.XAck(b.ctx, key, "raw", ids[10:20]...)
		slow := b.raw.XPendingExt(b.ctx, pendingOf(key, "slow")).Val()
		for _, p := range slow {
			b.raw.XAck(b.ctx, key, "slow", p.ID)
		}
		left("another group has read the first five only", n-15)
		b.raw.XAck(b.ctx, key, "slow", read("slow", n)...)
		left("all is settled", 0)
		b.publish(t, job.Task{JobID: "next"})
		left("a new one", 1)
		if q, err := b.broker.Queue(b.ctx, ""); err != nil || q.Waiting != 1 {
			t.Errorf("Queue: %+v, %v; want q.Waiting == 1", q, err)
		}
	})
}

// The cleaner removes idle consumers, names of queues without keys, and old cancellations, and gives a TTL to
// what raw peers left without one.
func TestCleanerRemovesConsumersNamesAndGivesTTLs(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "job"})
		b.readOne(t, "holds something")
		b.publish(t, job.Task{JobID: "done"})
		if err := b.nack(queue.NackRequest{Token: b.readOne(t, "here").Lease.Token(), Delay: new(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.broker.Read(b.ctx, queue.ReadRequest{Queue: "once", Consumer: "w"}); err != nil {
			t.Fatal(err)
		}
		for i := range 30 {
			b.raw.HSet(b.ctx, b.key(fmt.Sprint("job_state:raw-", i)), "status", "running")
			b.raw.XAdd(b.ctx, entry(b.key(fmt.Sprint("argus_completion:raw-", i)), "status", "completed"))
		}
		b.raw.HSet(b.ctx, b.key("job_state:own"), "a", "b")
		b.raw.Expire(b.ctx, b.key("job_state:own"), time.Hour)
		b.raw.HSet(b.ctx, b.key("foreign"), "a", "b")
		b.raw.ZAdd(b.ctx, b.key("argus_jobs:cancelled"), score(1, "long ago"))
		if err := b.broker.Clean(b.ctx); err != nil {
			t.Fatal(err)
		}
		for i := range 30 {
			for _, key := range []string{fmt.Sprint("job_state:raw-", i), fmt.Sprint("argus_completion:raw-", i)} {
				if ttl := b.raw.TTL(b.ctx, b.key(key)).Val(); ttl < time.Hour || ttl > job.DefaultStateTTL {
					t.Fatal(key, "lives", ttl)
				}
			}
		}
		if ttl := b.raw.TTL(b.ctx, b.key("job_state:own")).Val(); ttl > time.Hour {
			t.Error("a raw peer's own TTL was changed to", ttl)
		}
		if ttl := b.raw.TTL(b.ctx, b.key("foreign")).Val(); ttl > 0 {
			t.Error("a key that is not the service's expires in", ttl)
		}
		if n := b.raw.ZCard(b.ctx, b.key("argus_jobs:cancelled")).Val(); n != 0 {
			t.Error("a job cancelled long ago is still remembered")
		}
		if names := b.raw.SMembers(b.ctx, b.key("argus_queues:known")).Val(); len(names) != 1 || names[0] != job.DefaultQueue {
			t.Error("known queues:", names)
		}
		if c, err := b.broker.Consumers(b.ctx, "", ""); err != nil || len(c) != 2 {
			t.Error("consumers that were just here:", c, err)
		}
		if err := b.broker.Leave(b.ctx, job.DefaultQueue, job.DefaultGroup, "holds something"); err != nil || b.pending(t) != 1 {
			t.Error("Leave removed a consumer that holds a task:", err)
		}
		if err := b.broker.Dismiss(b.ctx, job.DefaultQueue, -time.Second); err != nil {
			t.Fatal(err)
		}
		if c, err := b.broker.Consumers(b.ctx, "", ""); err != nil || len(c) != 1 || c[0].Name != "holds something" {
			t.Error("consumers after they left:", c, err)
		}
		if b.pending(t) != 1 {
			t.Error("a lease was dropped")
		}
	})
}

// Entries before the beginning of every group in use were given to no consumer: the cleaner counts and logs
// them when it removes them.
func TestCleanerReportsEntriesNoConsumerReceived(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		log := &logged{}
		b := setup(t, e, job.Settings{Logger: newLog(log)})
		const warning = "no consumer is known to have been given"
		clean := func(when string, left, unseen int64) {
			t.Helper()
			if err := b.broker.Clean(b.ctx); err != nil {
				t.Fatal(err)
			}
			if got := b.raw.XLen(b.ctx, b.key(job.DefaultQueue)).Val(); got != left {
				t.Errorf("%s: %d entries are left, want %d", when, got, left)
			}
			if got := b.broker.WaitStats().UnseenRemoved; got != unseen {
				t.Errorf("%s: %d counted, want %d", when, got, unseen)
			}
			if log.has(warning) != (unseen > 0) {
				t.Errorf("%s: the log's warning is there: %t", when, log.has(warning))
			}
		}
		for i := range 3 {
			b.publish(t, job.Task{JobID: fmt.Sprint("missed-", i)})
		}
		// A raw worker starts late, with a group of another name.
		b.raw.XGroupCreateMkStream(b.ctx, b.key(job.DefaultQueue), "legacy", "$")
		clean("no worker reads", 3, 0)
		b.publish(t, job.Task{JobID: "held"})
		if got := b.rawRead(t, job.DefaultQueue, "legacy"); !slices.Equal(got, []string{"held"}) {
			t.Fatal(got)
		}
		clean("a worker has read behind them", 1, 3)
		b.publish(t, job.Task{JobID: "seen"})
		if got := b.rawWork(t, job.DefaultQueue, "legacy"); !slices.Equal(got, []string{"seen"}) {
			t.Fatal(got)
		}
		clean("all is acknowledged", 0, 3)
	})
}
