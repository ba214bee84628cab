package queue

import (
	"slices"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// testEntry is a leased entry of group "g" that was published at 1000 ms.
func testEntry(fields ...string) leasedEntry {
	return leasedEntry{lease: job.Lease{Queue: "q", Group: "g", EntryID: "1000-0", Count: 1}, fields: append([]string{"job_id", "a"}, fields...)}
}

func TestLeasedBatchAdd(t *testing.T) {
	t.Parallel()
	crashed, cancelled := testEntry(), testEntry()
	crashed.lease.Count, crashed.uncounted, cancelled.isCancelled = 4, 1, true
	for name, c := range map[string]struct {
		entry    leasedEntry
		action   requeueAction // "" for a delivery
		cause    string
		forGroup string
	}{
		"a task":                {entry: testEntry()},
		"a requeued task":       {entry: testEntry("argus_attempt", "9", "argus_failures", "9")},
		"for its group":         {entry: testEntry("argus_for_group", "g")},
		"for another group":     {entry: testEntry("argus_for_group", "other"), forGroup: "other"},
		"a cancelled job":       {entry: cancelled, action: actionCancelled},
		"too many crashes":      {entry: crashed, action: actionLost, cause: CauseMaxCrashes},
		"not a task":            {entry: leasedEntry{fields: []string{"x", "y"}}, action: actionLost, cause: CauseMalformed},
		"too many former tries": {entry: testEntry("argus_attempt", "2"), action: actionLost, cause: CauseMaxCrashes},
	} {
		var b leasedBatch
		b.add(c.entry, job.QueueSettings{MaxCrashes: 2})
		if c.action == "" && c.forGroup == "" {
			if len(b.deliveries) != 1 || b.size() != 1 || !b.deliveries[0].PublishedAt.Equal(time.UnixMilli(1000)) {
				t.Errorf("%s: not delivered: %+v", name, b)
			}
			continue
		}
		if len(b.undeliverable) != 1 || b.size() != 1 {
			t.Errorf("%s: delivered: %+v", name, b)
			continue
		}
		if u := b.undeliverable[0]; u.action != c.action || u.cause != c.cause || u.forGroup != c.forGroup {
			t.Errorf("%s: action %q, cause %q, for group %q; want %q, %q, %q", name, u.action, u.cause, u.forGroup, c.action, c.cause, c.forGroup)
		}
	}
}

// A task for a group that does not exist is delivered, unless its job was cancelled.
func TestLeasedBatchAdopt(t *testing.T) {
	t.Parallel()
	var b leasedBatch
	for _, group := range []string{"gone", "other"} {
		b.add(testEntry("argus_for_group", group), job.QueueSettings{MaxCrashes: 2})
	}
	if !b.hasForeign() || !slices.Equal(b.jobs(), []string{"a", "a"}) {
		t.Fatalf("the batch has jobs %q", b.jobs())
	}
	b.adopt([]job.GroupInfo{{Name: "g"}, {Name: "other"}})
	if len(b.deliveries) != 1 || len(b.undeliverable) != 1 || b.undeliverable[0].forGroup != "other" {
		t.Errorf("one task should be delivered, one left to the group other: %+v", b)
	}
	b.cancel(map[string]time.Time{"a": time.UnixMilli(1000)})
	if len(b.deliveries) != 0 || len(b.undeliverable) != 2 {
		t.Errorf("a cancelled task is delivered: %+v", b.deliveries)
	}
	b.adopt(nil)
	if len(b.deliveries) != 0 || b.hasForeign() {
		t.Errorf("a cancelled task was adopted and is delivered: %+v", b)
	}
}

func TestLeasedBatchCancel(t *testing.T) {
	t.Parallel()
	for at, want := range map[int64]int{999: 1, 1000: 0, 1001: 0} {
		var b leasedBatch
		b.add(testEntry(), job.QueueSettings{MaxCrashes: 2})
		b.cancel(map[string]time.Time{"a": time.UnixMilli(at)})
		if len(b.deliveries) != want {
			t.Errorf("published at 1000, cancelled at %d: %d deliveries, want %d", at, len(b.deliveries), want)
		}
	}
}
