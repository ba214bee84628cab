package broker_test

import (
	"slices"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// An organization has at most its limit of tasks in flight, however they are settled.
func TestInFlightLimitOfAnOrganization(t *testing.T) {
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
		next(func(d queue.Delivery) error { // a raw worker acknowledges and does not delete
			return b.raw.XAck(b.ctx, b.key(job.DefaultQueue), d.Lease.Group, d.Lease.EntryID).Err()
		})
		if got := b.read(t, "w", 100); len(got) != 0 {
			t.Errorf("read: %+v; want none", got)
		}
	})
}

// Tasks in flight are no longer counted when they were settled through a server that has ended.
func TestInFlightCountsEndWithTheirTasks(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupFair(t, e, job.QueueSettings{FairMaxInFlight: 2})
		b.flood(t, "a", 2)
		d := b.read(t, "w", 10)
		if len(d) != 2 {
			t.Fatalf("read: %+v; want len(d) == 2", len(d))
		}
		b.broker.Close() // its scheduler has ended
		for _, d := range d {
			if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
				t.Fatal(err)
			}
		}
		b.open(t, job.Settings{Queue: job.QueueSettings{FairBy: job.FairByOrganization, FairMaxInFlight: 2}})
		await(t, b.ctx, func() bool { return len(b.fairKeys(t)) == 0 })
	})
}

// Tasks that were in flight when the stream was deleted do not block their organization for ever.
func TestInFlightCountsEndWithTheStream(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupFair(t, e, job.QueueSettings{FairMaxInFlight: 2})
		b.flood(t, "a", 6)
		if d := b.read(t, "w", 10); len(d) != 2 {
			t.Fatalf("read: %+v; want len(d) == 2", len(d))
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
