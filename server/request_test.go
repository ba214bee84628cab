package server

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hikmaai-io/argus-queue/redis"
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
		s := &Server{config: Config{MaxCalls: 1, patience: patience{request: time.Hour}}}
		if _, err := s.admitCall(stream, &tap.Info{}); err != nil {
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

// A client can't have the server send it heartbeats as fast as it can.
func TestLeastHeartbeat(t *testing.T) {
	t.Parallel()
	s := &Server{config: Config{patience: defaultPatience}}
	for interval, ok := range map[time.Duration]bool{time.Second - 1: false, time.Second: true, time.Hour: true, time.Hour + 1: false} {
		got, err := s.heartbeat(durationpb.New(interval))
		if bad := (*redis.ArgumentError)(nil); errors.As(err, &bad) == ok || ok && got != interval {
			t.Error(interval, got, err)
		}
	}
}

// Of the time until the caller's deadline, a part is left for the answer.
func TestWaitTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Server{config: Config{MaxWait: time.Minute}}
		for left, want := range map[time.Duration]time.Duration{
			40 * time.Millisecond: 0, 150 * time.Millisecond: 100 * time.Millisecond, time.Second: 750 * time.Millisecond,
			3 * time.Second: 2250 * time.Millisecond, 10 * time.Second: 9 * time.Second, time.Hour: time.Minute,
		} {
			ctx, cancel := context.WithTimeout(t.Context(), left)
			if got, err := s.waitTime(ctx, time.Hour, 0, true); err != nil || got != want {
				t.Errorf("%s before the deadline: waits %s, want %s; %v", left, got, want, err)
			}
			cancel()
		}
	})
}
