package history

import (
	"slices"
	"testing"
)

func TestWaitingListsJobsWithoutAResult(t *testing.T) {
	t.Parallel()
	events := []Event{{Kind: WatchStart, Job: "done"}, {Kind: WatchStart, Job: "abandoned"}, {Kind: WatchStart, Job: "waiting"}, {Kind: WatchEvent, Job: "waiting", Status: "running"},
		{Kind: WatchEvent, Job: "done", Status: "completed"}, {Kind: WatchEnd, Job: "abandoned", Outcome: Abandoned}}
	if got := Waiting(events); !slices.Equal(got, []string{"waiting"}) {
		t.Error(got)
	}
}
