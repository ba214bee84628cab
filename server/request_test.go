package server

import (
	"context"
	"runtime"
	"testing"
	"time"
	"weak"
)

// A call that is reset before its request has arrived is forgotten at once, not when its
// time is up.
func TestResetCallIsForgotten(t *testing.T) {
	t.Parallel()
	type key struct{}
	reset := func() weak.Pointer[[1 << 20]byte] {
		headers := new([1 << 20]byte)
		stream, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, headers))
		defer cancel()
		if _, err := (patience{request: time.Hour}).awaitRequest(stream, nil); err != nil {
			t.Fatal(err)
		}
		return weak.Make(headers)
	}
	headers := reset()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for headers.Value() != nil {
		runtime.GC()
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the headers of a call that was reset are kept")
		}
	}
}
