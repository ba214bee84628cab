package server

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// waitPolicy bounds the times that clients ask for.
type waitPolicy struct {
	maxWait      time.Duration // of a long poll
	minHeartbeat time.Duration
}

const (
	// defaultWait is how long Read and Await wait if the request does not say.
	defaultWait = 5 * time.Second
	// maxAskedWait is the longest wait that a request may ask for. It is cut to maxWait.
	maxAskedWait = 24 * time.Hour

	defaultHeartbeat = 15 * time.Second
	maxHeartbeat     = time.Hour
)

// A part of the time until the client's deadline is left for the response: a client with a
// short deadline is in a hurry, and one on a busy machine or a slow network sets a long one.
const (
	deadlinePart      = 4
	minDeadlineMargin = 50 * time.Millisecond
	maxDeadlineMargin = time.Second
)

// wait returns how long a long poll waits: what the request's field wait asks for, within
// maxWait and the client's deadline. nil asks for defaultWait.
func (p *waitPolicy) wait(ctx context.Context, asked *durationpb.Duration) (time.Duration, error) {
	wait, err := fromDuration("wait", asked)
	switch {
	case err != nil:
		return 0, err
	case asked == nil:
		wait = defaultWait
	case wait < 0 || wait > maxAskedWait:
		return 0, &job.ArgumentError{Field: "wait", Problem: fmt.Sprintf("is %s, want 0s to 24h; 0s does not wait", wait)}
	}
	wait = min(wait, p.maxWait)
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		wait = min(wait, left-min(max(left/deadlinePart, minDeadlineMargin), maxDeadlineMargin))
	}
	return max(wait, 0), nil
}

// heartbeat returns the interval between the heartbeats of a stream: what the request's field
// heartbeat_interval asks for. nil asks for defaultHeartbeat.
func (p *waitPolicy) heartbeat(asked *durationpb.Duration) (time.Duration, error) {
	if asked == nil {
		return defaultHeartbeat, nil
	}
	interval, err := fromDuration("heartbeat_interval", asked)
	if err == nil && (interval < p.minHeartbeat || interval > maxHeartbeat) {
		err = &job.ArgumentError{Field: "heartbeat_interval", Problem: fmt.Sprintf("is %s, want %s to %s", interval, p.minHeartbeat, maxHeartbeat)}
	}
	return interval, err
}
