package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
)

// drainTimeout is how long the delivery of published tasks may take after the last publish.
const drainTimeout = 30 * time.Second

// endToEnd publishes tasks and works them off.
func endToEnd(ctx context.Context, r *run) error {
	meters := r.newMeters(r.workers)
	start := time.Now()
	var published, delivered atomic.Int64
	working, stop := context.WithCancel(ctx)
	defer stop()
	worked := make(chan error, 1)
	go func() {
		worked <- r.consume(working, observer{delivered: func(worker int, at []time.Time) {
			times := timesSince(start, at)
			meters[worker].add(len(times), times...)
			delivered.Add(int64(len(times)))
		}})
	}()
	if err := r.paced(ctx, r.publisher(func(_, n int, _ time.Duration) { published.Add(int64(n)) })); err != nil {
		return err
	}
	isDrained := func() bool { return delivered.Load() >= published.Load() }
	if err := drain(ctx, isDrained, worked); err != nil {
		return err
	}
	r.took = time.Since(start)
	note := fmt.Sprintf("%d published, %d delivered", published.Load(), delivered.Load())
	r.notes = append(r.notes, note)
	stop()
	if err := <-worked; err != nil {
		return err
	}
	if !isDrained() {
		return fmt.Errorf("%s: the others did not come within %s", note, drainTimeout)
	}
	return nil
}

// timesSince returns how long ago tasks were published. It leaves out tasks of earlier runs, which
// were published before start.
func timesSince(start time.Time, published []time.Time) []time.Duration {
	now := time.Now()
	times := make([]time.Duration, 0, len(published))
	for _, at := range published {
		if !at.Before(start) {
			times = append(times, now.Sub(at))
		}
	}
	return times
}

// drain waits until isDrained, or until drainTimeout is over. It fails when the streams end first.
func drain(ctx context.Context, isDrained func() bool, worked <-chan error) error {
	for end := time.Now().Add(drainTimeout); !isDrained() && time.Now().Before(end); {
		select {
		case err := <-worked:
			return cmp.Or(err, errors.New("the streams ended early"))
		default:
			if !client.Sleep(ctx, 10*time.Millisecond) {
				return ctx.Err()
			}
		}
	}
	return nil
}
