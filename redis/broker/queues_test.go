package broker_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestQueues(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{"configured": {}}})
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
		leased := b.readOne(t, "w2")
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
			t.Error(diff)
		}
		consumers, err := b.broker.Consumers(b.ctx, "", "")
		if err != nil || len(consumers) != 2 || consumers[1].Name != "w2" || consumers[1].Pending != 1 || consumers[0].Pending != 0 {
			t.Error(consumers, err)
		}
		pending, err := b.broker.Pending(b.ctx, "", "", "", 10)
		if err != nil || len(pending) != 1 || pending[0].Consumer != "w2" || pending[0].Task.JobID != leased.Task.JobID || pending[0].Where != queue.WhereLeased {
			t.Error(pending, err)
		}
		if after, err := b.broker.Pending(b.ctx, "", "", pending[0].EntryID, 10); err != nil || len(after) != 0 {
			t.Error(after, err)
		}
		if _, err := b.broker.Queue(b.ctx, "none"); !errors.Is(err, job.ErrQueueNotFound) {
			t.Error(err)
		}
		for id, where := range map[string]queue.Where{"job-0": queue.WhereDead, "job-1": queue.WhereDelayed, "job-2": queue.WhereLeased, "job-3": queue.WhereWaiting, "delayed": queue.WhereDelayed} {
			info, err := b.broker.Job(b.ctx, id)
			if err != nil || info.Place.Where != where || info.Place.Task.JobID != id || info.Place.PublishedAt.IsZero() {
				t.Errorf("%s: %+v, %v", id, info, err)
			}
			switch id {
			case "job-0":
				if info.Place.Cause != queue.CauseRejected || info.Place.Reason != "bad" || info.Result == nil || info.Status != job.StatusFailed {
					t.Errorf("%+v", info)
				}
			case "job-1":
				if info.Place.Reason != "later" || info.Place.Failures != 1 || info.Place.Attempts != 1 || time.Until(info.Place.DueAt) < 50*time.Minute {
					t.Errorf("%+v", info.Place)
				}
			case "job-2":
				if info.Place.Consumer != "w2" || info.Place.Group != job.DefaultGroup || time.Until(info.Place.LeaseExpires) < job.DefaultLease/2 {
					t.Errorf("%+v", info.Place)
				}
			}
		}
		b.expire(t, leased.Lease)
		if info, err := b.broker.Job(b.ctx, "job-2"); err != nil || info.Place.Where != queue.WhereWaiting {
			t.Error(info, err)
		}
		if _, err := b.broker.Job(b.ctx, "nobody"); !errors.Is(err, job.ErrJobNotFound) {
			t.Error(err)
		}
	})
}

func TestPause(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "before"})
		d := b.readOne(t, "w")
		if err := b.broker.Pause(b.ctx, ""); err != nil {
			t.Fatal(err)
		}
		b.publish(t, job.Task{JobID: "after"})
		b.expire(t, d.Lease)
		if more, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "other", Max: 10, Wait: 100 * time.Millisecond}); err != nil || len(more) != 0 {
			t.Error("a paused queue gave", more, err)
		}
		if q, err := b.broker.Queue(b.ctx, ""); err != nil || time.Since(q.Paused) > time.Minute {
			t.Error(q, err)
		}
		if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
			t.Error("what a worker has goes on:", err)
		}
		waiting := make(chan []queue.Delivery, 1)
		go func() {
			d, _ := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Wait: time.Minute})
			waiting <- d
		}()
		if err := b.broker.Resume(b.ctx, ""); err != nil {
			t.Fatal(err)
		}
		if d := <-waiting; len(d) != 1 || d[0].Task.JobID != "after" {
			t.Error(d)
		}
		if q, err := b.broker.Queue(b.ctx, ""); err != nil || !q.Paused.IsZero() {
			t.Error(q, err)
		}
	})
}

func TestPurge(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for i := range 5 {
			b.publish(t, job.Task{JobID: fmt.Sprint("job-", i)})
		}
		leased := b.readOne(t, "w")
		b.expire(t, b.readOne(t, "vanished").Lease)
		b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), "nonsense", "1"))
		if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: "delayed"}, Delay: time.Hour}); err != nil {
			t.Fatal(err)
		}
		b.raw.ZAdd(b.ctx, b.key("argus_delayed:"+job.DefaultQueue), score(1e15, "nonsense"))
		p, err := b.broker.Purge(b.ctx, "")
		if err != nil || p != (admin.Purged{Waiting: 5, Delayed: 2, Leased: 1}) {
			t.Error(p, err)
		}
		for _, id := range []string{"job-1", "job-2", "job-3", "job-4", "delayed"} {
			b.events(t, id, "cancelled")
		}
		if left := b.stream(t, job.DefaultQueue); len(left) != 1 || b.pending(t) != 1 || b.raw.ZCard(b.ctx, b.key("argus_delayed:"+job.DefaultQueue)).Val() != 0 {
			t.Error("left:", left)
		}
		if _, err := b.broker.Complete(b.ctx, leased.Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
			t.Error(err)
		}
		if _, err := b.broker.Purge(b.ctx, "none"); !errors.Is(err, job.ErrQueueNotFound) {
			t.Error(err)
		}
	})
}

// What raw peers acknowledge without deleting is removed, and nothing that a group has
// still to read or to settle.
func TestTrim(t *testing.T) {
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
			t.Error(q, err)
		}
	})
}

// The janitor's other duties: consumers, names of queues, TTLs of what raw peers left.
func TestClean(t *testing.T) {
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
			t.Error("cancelled long ago, and still remembered")
		}
		if names := b.raw.SMembers(b.ctx, b.key("argus_queues:known")).Val(); len(names) != 1 || names[0] != job.DefaultQueue {
			t.Error("known queues:", names)
		}
		if c, err := b.broker.Consumers(b.ctx, "", ""); err != nil || len(c) != 2 {
			t.Error("consumers that were just here:", c, err)
		}
		if err := b.broker.Leave(b.ctx, job.DefaultQueue, job.DefaultGroup, "holds something"); err != nil || b.pending(t) != 1 {
			t.Error("one that got something a moment ago was removed:", err)
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

// logged is a log that can be looked at.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// Whatever is deleted under the broker, it goes on, and says what was lost.
func TestHeals(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		if e.Real() {
			e = redistest.Own(t).Engine() // for FLUSHALL
		}
		for name, c := range map[string]struct {
			destroy func(b *bundle)
			say     string
			again   bool // what was leased is delivered again
		}{
			"stream": {func(b *bundle) { b.raw.Del(b.ctx, b.key(job.DefaultQueue)) }, "the queue's stream was deleted", false},
			"group":  {func(b *bundle) { b.raw.XGroupDestroy(b.ctx, b.key(job.DefaultQueue), job.DefaultGroup) }, "the consumer group was deleted", true},
			"all":    {func(b *bundle) { b.raw.FlushAll(b.ctx); b.raw.ScriptFlush(b.ctx) }, "the queue's stream was deleted", false},
		} {
			t.Run(name, func(t *testing.T) {
				var log logged
				b := setup(t, e, job.Settings{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				b.publish(t, job.Task{JobID: "leased"})
				d := b.readOne(t, "w")
				c.destroy(b)
				if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); !errors.Is(err, job.ErrLeaseLost) {
					t.Error("Complete:", err)
				}
				if c.again {
					if d = b.readOne(t, "w"); d.Task.JobID != "leased" {
						t.Error(d)
					}
				} else {
					b.read(t, "w", 1)
				}
				if !log.has(c.say) {
					t.Error("the log does not say it:", log.text.String())
				}
				b.publish(t, job.Task{JobID: "next"})
				if d = b.readOne(t, "w"); d.Task.JobID != "next" {
					t.Error(d)
				}
				b.raw.Del(b.ctx, b.key(job.DefaultQueue))
			})
		}
	})
}
