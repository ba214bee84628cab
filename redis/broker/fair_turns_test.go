package broker_test

import (
	"fmt"
	"strings"
	"testing"

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

// turns reads and settles tasks, most at a time, and returns whose they were.
func (b *bundle) turns(t *testing.T, n, most int) string {
	t.Helper()
	var order strings.Builder
	for order.Len() < n {
		deliveries := b.read(t, "w", most)
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

// A flood of one organization does not keep others waiting: they take turns by their weights, each in its own
// order.
func TestOrganizationsTakeTurns(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		for _, most := range []int{1, 3} {
			t.Run(fmt.Sprint(most), func(t *testing.T) {
				e.Prefix += fmt.Sprint(most, ":")
				b := setupFair(t, e, job.QueueSettings{FairWeights: map[string]float64{"c": 3}})
				b.flood(t, "a", 100)
				if got := b.turns(t, 30, most); got != strings.Repeat("a", 30) {
					t.Error(got)
				}
				b.flood(t, "b", 10)
				b.flood(t, "c", 30)
				got := b.turns(t, 50, most)
				if a, bs, c := strings.Count(got, "a"), strings.Count(got, "b"), strings.Count(got, "c"); a < 9 || a > 12 || bs < 9 || c < 28 {
					t.Errorf("%d of a, %d of b, %d of c in %s", a, bs, c, got)
				}
				if a := strings.Count(got[:15], "a"); a < 2 || a > 4 {
					t.Errorf("%d of a are first in %s", a, got)
				}
				if rest := 110 - len(got); len(b.turns(t, rest, most)) != rest {
					t.Error("not all came")
				}
				await(t, b.ctx, func() bool { return len(b.fairKeys(t)) == 0 })
			})
		}
	})
}

// An organization that publishes its next task when the last is done gets its share, and not more.
func TestOrganizationThatPublishesOneByOneGetsItsShare(t *testing.T) {
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
