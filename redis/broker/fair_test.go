package broker_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// setupFair opens a broker whose default queue is fair.
func setupFair(t *testing.T, e redistest.Engine, q job.QueueSettings) *bundle {
	t.Helper()
	q.FairBy = job.FairByOrganization
	return setup(t, e, job.Settings{Queue: q})
}

// flood publishes n tasks of an organization.
func (b *bundle) flood(t *testing.T, org string, n int) {
	t.Helper()
	tasks := make([]job.Task, n)
	for i := range tasks {
		tasks[i] = job.Task{JobID: fmt.Sprintf("%s-%d", org, i), OrganizationID: org}
	}
	if _, _, err := b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{Tasks: tasks}); err != nil {
		t.Fatal(err)
	}
}

// turns reads and settles tasks, max at a time, and returns whose they were.
func (b *bundle) turns(t *testing.T, n, max int) string {
	t.Helper()
	var order strings.Builder
	for order.Len() < n {
		deliveries := b.read(t, "w", max)
		if len(deliveries) == 0 {
			t.Fatalf("after %q: nothing", order.String())
		}
		for _, d := range deliveries {
			order.WriteString(d.Task.OrganizationID)
			if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return order.String()
}

// fairKeys are the keys of fairness that are there.
func (b *bundle) fairKeys(t *testing.T) []string {
	t.Helper()
	keys, err := b.raw.Keys(b.ctx, b.key("argus_fair*")).Result()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// A flood of one organization does not keep others waiting: they take turns, in each
// one's own order, and by their weights.
func TestFair(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		for _, max := range []int{1, 3} {
			t.Run(fmt.Sprint(max), func(t *testing.T) {
				e.Prefix += fmt.Sprint(max, ":")
				b := setupFair(t, e, job.QueueSettings{FairWeights: map[string]float64{"c": 3}})
				b.flood(t, "a", 100)
				if got := b.turns(t, 30, max); got != strings.Repeat("a", 30) {
					t.Error(got)
				}
				b.flood(t, "b", 10)
				b.flood(t, "c", 30)
				got := b.turns(t, 50, max)
				if a, bs, c := strings.Count(got, "a"), strings.Count(got, "b"), strings.Count(got, "c"); a < 9 || a > 12 || bs < 9 || c < 28 {
					t.Errorf("%d of a, %d of b, %d of c in %s", a, bs, c, got)
				}
				if a := strings.Count(got[:15], "a"); a < 2 || a > 4 {
					t.Errorf("%d of a are first in %s", a, got)
				}
				if rest := 110 - len(got); len(b.turns(t, rest, max)) != rest {
					t.Error("not all came")
				}
				await(t, b.ctx, func() bool { return len(b.fairKeys(t)) == 0 })
			})
		}
	})
}

// An organization that publishes its next task when the last is done gets its share, and no
// more than it.
func TestFairToOneAfterAnother(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupFair(t, e, job.QueueSettings{})
		for _, org := range []string{"a", "b", "c"} {
			b.flood(t, org, 20)
		}
		var got string
		for i := range 20 {
			b.publish(t, job.Task{JobID: fmt.Sprint("_-", i), OrganizationID: "_"})
			for !strings.HasSuffix(got, "_") {
				got += b.turns(t, 1, 1)
			}
			if got = strings.TrimSuffix(got, "_"); len(got) > 3*(i+1)+3 {
				t.Fatalf("its turn %d came after %d of others", i, len(got))
			}
		}
		if len(got) < 50 {
			t.Errorf("others got %d turns while it got 20", len(got))
		}
	})
}

// What belongs to a task's life works in a fair queue as in another.
func TestFairLife(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupFair(t, e, job.QueueSettings{MaxLength: 12})
		first := queue.PublishRequest{PublishOptions: queue.PublishOptions{RequestID: "r"}, Task: job.Task{JobID: "again", OrganizationID: "x", CreatedAt: time.Unix(1, 0)}}
		for i := range 2 {
			if p, twice, err := b.broker.Publish(b.ctx, first); err != nil || twice != (i == 1) || p.EntryID != "" {
				t.Fatal(p, twice, err)
			}
		}
		retried := b.readOne(t, "w")
		b.flood(t, "a", 8)
		if err := b.nack(queue.NackRequest{Token: retried.Lease.Token(), Delay: new(time.Duration(0)), Reason: "later"}); err != nil {
			t.Fatal(err)
		}
		if n := len(b.stream(t, job.DefaultQueue)); n != 1 {
			t.Error(n, "tasks went into the stream before anyone asked for them")
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
			t.Error(err)
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
			t.Error(n, err)
		}
		if got := b.turns(t, 1, 10); got != "a" {
			t.Error(got)
		}
		b.events(t, "a-3", "completed")
		b.flood(t, "p", 5)
		if p, err := b.broker.Purge(b.ctx, ""); err != nil || p.Waiting != 5 {
			t.Error(p, err)
		}
		b.events(t, "p-4", "cancelled")
		await(t, b.ctx, func() bool { return len(b.fairKeys(t)) == 0 })
	})
}

// An organization has as many tasks in flight as it may, however they are settled.
func TestFairInFlight(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupFair(t, e, job.QueueSettings{FairMaxInFlight: 2, FairMaxInFlightOf: map[string]int{"big": 3}})
		b.flood(t, "a", 8)
		b.flood(t, "big", 4)
		held := b.read(t, "w", 100)
		var orgs []string
		for _, d := range held {
			orgs = append(orgs, d.Task.OrganizationID)
		}
		if slices.Sort(orgs); !slices.Equal(orgs, []string{"a", "a", "big", "big", "big"}) {
			t.Fatal(orgs)
		}
		next := func(settle func(queue.Delivery) error) {
			t.Helper()
			i := slices.IndexFunc(held, func(d queue.Delivery) bool { return d.Task.OrganizationID == "a" })
			if err := settle(held[i]); err != nil {
				t.Fatal(err)
			}
			d := b.readOne(t, "w")
			if d.Task.OrganizationID != "a" {
				t.Fatal(d)
			}
			held[i] = d
		}
		next(func(d queue.Delivery) error {
			_, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted})
			return err
		})
		next(func(d queue.Delivery) error {
			_, err := b.broker.Ack(b.ctx, []string{d.Lease.Token()})
			return err
		})
		next(func(d queue.Delivery) error {
			return b.nack(queue.NackRequest{Token: d.Lease.Token(), DeadLetter: true})
		})
		next(func(d queue.Delivery) error { // a raw worker says nothing, and does not delete
			return b.raw.XAck(b.ctx, b.key(job.DefaultQueue), d.Lease.Group, d.Lease.EntryID).Err()
		})
		if got := b.read(t, "w", 100); len(got) != 0 {
			t.Error(got)
		}
	})
}

// What is in flight is forgotten when it was settled by a server that is no more.
func TestFairInFlightWithoutItsServer(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupFair(t, e, job.QueueSettings{FairMaxInFlight: 2})
		b.flood(t, "a", 2)
		d := b.read(t, "w", 10)
		if len(d) != 2 {
			t.Fatal(len(d))
		}
		b.broker.Close() // its mover does nothing any more
		for _, d := range d {
			if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
				t.Fatal(err)
			}
		}
		b.open(t, job.Settings{Queue: job.QueueSettings{FairBy: job.FairByOrganization, FairMaxInFlight: 2}})
		await(t, b.ctx, func() bool { return len(b.fairKeys(t)) == 0 })
	})
}

// What was in flight when the stream was deleted does not hold up its organization for ever.
func TestFairQueueGoesOnAfterItsStreamWasDeleted(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupFair(t, e, job.QueueSettings{FairMaxInFlight: 2})
		b.flood(t, "a", 6)
		if d := b.read(t, "w", 10); len(d) != 2 {
			t.Fatal(len(d))
		}
		b.raw.Del(b.ctx, b.key(job.DefaultQueue))
		var got []queue.Delivery
		await(t, b.ctx, func() bool {
			got = append(got, b.read(t, "w", 10)...)
			for _, d := range got {
				if _, err := b.broker.Ack(b.ctx, []string{d.Lease.Token()}); err != nil {
					t.Fatal(err)
				}
			}
			return len(got) >= 4
		})
		await(t, b.ctx, func() bool { return len(b.fairKeys(t)) == 0 })
	})
}

// A fair queue that is fair no more leaves nothing of fairness behind, though tasks of its
// limited organizations were in flight.
func TestFairQueueMadeUnfairLeavesNothing(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupFair(t, e, job.QueueSettings{FairMaxInFlight: 2})
		b.flood(t, "a", 4)
		if d := b.read(t, "w", 10); len(d) != 2 {
			t.Fatal(len(d))
		}
		b.broker.Close()
		b.broker = b.open(t, job.Settings{})
		await(t, b.ctx, func() bool {
			return len(b.fairKeys(t)) == 0 && b.raw.SCard(b.ctx, b.key("argus_queues:delayed")).Val() == 0
		})
		if d := b.read(t, "w", 10); len(d) != 2 {
			t.Error(len(d), "of the backlog, want 2")
		}
	})
}

// Raw workers find tasks in the stream, and those that raw peers publish there are
// delivered; another server's publish wakes who waits.
func TestFairAndOthers(t *testing.T) {
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

// A queue that is fair no more loses nothing.
func TestFairNoMore(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupFair(t, e, job.QueueSettings{FairMaxInFlight: 1})
		b.flood(t, "a", 300)
		b.read(t, "w", 10)
		b.broker.Close()
		b.broker = b.open(t, job.Settings{})
		for seen := 0; seen < 299; {
			d, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Max: 100, Wait: longWait})
			if err != nil || len(d) == 0 {
				t.Fatal(seen, err)
			}
			seen += len(d)
		}
		await(t, b.ctx, func() bool {
			return len(b.raw.ZRange(b.ctx, b.key("argus_fair:"+job.DefaultQueue), 0, -1).Val()) == 0
		})
	})
}

func TestFairSettings(t *testing.T) {
	t.Parallel()
	for field, q := range map[string]job.QueueSettings{
		"fair_by":               {FairBy: "report_id"},
		"fair_weights":          {FairBy: "organization_id", FairWeights: map[string]float64{"a": 0}},
		"fair_max_in_flight":    {FairBy: "organization_id", FairMaxInFlight: -1},
		"fair_max_in_flight_of": {FairBy: "organization_id", FairMaxInFlightOf: map[string]int{"a": -1}},
		"fair_ahead":            {FairBy: "organization_id", FairAhead: 2000},
	} {
		err := job.Settings{Queues: map[string]job.QueueSettings{"q": q}}.Validate()
		if err == nil || !strings.Contains(err.Error(), "queues.q."+field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if err := (job.QueueSettings{FairAhead: 3}).Validate("q"); err == nil || !strings.Contains(err.Error(), "fair_by") {
		t.Error(err)
	}
}

// A queue whose stream is gone is known as long as it has a backlog.
func TestBacklogWithoutAStreamIsRemembered(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		const name = "dynamic" // not named in the settings
		b := setupFair(t, e, job.QueueSettings{})
		for i := range 3 {
			_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: name}, Task: job.Task{JobID: fmt.Sprint("job-", i)}})
			if err != nil {
				t.Fatal(err)
			}
		}
		b.broker.Close() // its mover would make the stream again
		b.raw.Del(b.ctx, b.key(name))
		if err := b.broker.Clean(b.ctx); err != nil {
			t.Fatal(err)
		}
		if !b.raw.SIsMember(b.ctx, b.key("argus_queues:known"), name).Val() {
			t.Error("the cleaner forgot a queue with a backlog")
		}
	})
}
