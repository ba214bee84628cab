package server

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// A client cannot make the server send heartbeats at an arbitrary rate.
func TestHeartbeatInterval(t *testing.T) {
	t.Parallel()
	defaults := Config{}.withDefaults()
	p := waitPolicy{minHeartbeat: defaults.minHeartbeat}
	for interval, ok := range map[time.Duration]bool{time.Second - 1: false, time.Second: true, time.Hour: true, time.Hour + 1: false} {
		got, err := p.heartbeat(durationpb.New(interval))
		if bad := (*job.ArgumentError)(nil); errors.As(err, &bad) == ok || ok && got != interval {
			t.Errorf("heartbeat(%s) = %s, %v; want it accepted: %v", interval, got, err, ok)
		}
	}
}

// Of the time until the client's deadline, a part is left for the response.
func TestWaitLeavesTimeForTheResponse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := waitPolicy{maxWait: time.Minute}
		for left, want := range map[time.Duration]time.Duration{
			40 * time.Millisecond: 0, 150 * time.Millisecond: 100 * time.Millisecond, time.Second: 750 * time.Millisecond,
			3 * time.Second: 2250 * time.Millisecond, 10 * time.Second: 9 * time.Second, time.Hour: time.Minute,
		} {
			ctx, cancel := context.WithTimeout(t.Context(), left)
			if got, err := p.wait(ctx, durationpb.New(time.Hour)); err != nil || got != want {
				t.Errorf("%s before the deadline: wait = %s, %v; want %s", left, got, err, want)
			}
			cancel()
		}
	})
}
