package queue

import (
	"fmt"
	"testing"
)

func TestEntrySizes(t *testing.T) {
	t.Parallel()
	var sizes entrySizes
	const overhead = 1000
	check := func(step string, want int) {
		t.Helper()
		if got := sizes.room("queue", overhead); got != want {
			t.Errorf("%s: there is room for %d entries, want %d", step, got, want)
		}
	}
	check("unknown", 0)
	sizes.note("queue", 100)
	check("small", plainMax)
	sizes.note("queue", 1<<20)
	check("large", batchBytes/(overhead+2<<20))
	sizes.note("queue", 100)
	if room := sizes.room("queue", overhead); room > 2 {
		t.Errorf("after one small entry the large one is forgotten: room for %d", room)
	}
	for range 1000 {
		sizes.note("queue", 100)
	}
	check("small for a long time", plainMax)
	sizes.setPaused("queue", true)
	check("paused", 0)
	sizes.setPaused("queue", false)
	check("resumed", plainMax)
}

// The sizes of a bounded number of queues are remembered.
func TestEntrySizesForget(t *testing.T) {
	t.Parallel()
	var sizes entrySizes
	for i := range maxSized + 1 {
		sizes.note(fmt.Sprint(i), 1)
	}
	if n := len(sizes.queues); n > maxSized {
		t.Errorf("%d queues are remembered, at most %d are wanted", n, maxSized)
	}
}
