package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// eventsPerJob bounds how many events a watched job gets.
const eventsPerJob = 900

// watch watches one job per client and publishes events to the jobs.
func watch(ctx context.Context, r *run) error {
	if events := float64(r.rate) * r.duration.Seconds() / float64(r.clients); events > eventsPerJob {
		return shell.Usagef("--clients: %.0f events for each of %d jobs are too many (%d); use more clients, a lower rate or a shorter duration", events, r.clients, eventsPerJob)
	}
	w := &watchRun{run: r, prefix: "bench-" + uuid.NewString()[:8] + "-"}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	start := time.Now()
	if err := w.open(watching); err != nil {
		return err
	}
	r.notes = append(r.notes, fmt.Sprintf("%d streams in %.2f s", r.clients, time.Since(start).Seconds()))
	if err := r.paced(ctx, func(ctx context.Context, i int) (int, error) {
		return 1, w.publish(ctx, i, argusv1.JobStatus_JOB_STATUS_RUNNING)
	}); err != nil {
		return err
	}
	if err := w.completeAll(ctx); err != nil {
		return err
	}
	return w.streams.Wait()
}

// watchRun is a run of the benchmark watch.
type watchRun struct {
	*run
	prefix  string
	streams errgroup.Group
}

func (w *watchRun) job(i int) string { return fmt.Sprint(w.prefix, i) }

// open opens a stream for each client, and returns when all of them have their first frame.
func (w *watchRun) open(ctx context.Context) error {
	var ready errgroup.Group
	for i := range w.clients {
		m := w.newMeter()
		stream, err := argusv1.NewCompletionClient(w.conn(i)).Watch(ctx, &argusv1.WatchRequest{JobId: w.job(i)})
		if err != nil {
			return err
		}
		first := make(chan error, 1)
		ready.Go(func() error { return <-first })
		w.streams.Go(func() error {
			_, err := stream.Recv() // the snapshot
			first <- err
			for err == nil {
				var frame *argusv1.WatchResponse
				if frame, err = stream.Recv(); err == nil {
					m.addEvent(frame.GetEvent())
				}
			}
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return nil
			}
			return err
		})
	}
	return ready.Wait()
}

// addEvent counts an event; nil is none.
func (m *meter) addEvent(event *argusv1.CompletionEvent) {
	if at, ok := parseStamp(event.GetFields()[timeAttribute]); ok {
		m.add(1, time.Since(at))
	}
}

// publish publishes an event of a client's job.
func (w *watchRun) publish(ctx context.Context, i int, status argusv1.JobStatus) error {
	_, err := argusv1.NewCompletionClient(w.conn(i)).Publish(ctx, &argusv1.CompletionPublishRequest{JobId: w.job(i), Status: status,
		Fields: map[string]string{timeAttribute: stamp()}})
	return err
}

// completeAll completes the jobs, also when ctx has ended.
func (w *watchRun) completeAll(ctx context.Context) error {
	var all errgroup.Group
	all.SetLimit(64)
	for i := range w.clients {
		all.Go(func() error {
			return w.publish(context.WithoutCancel(ctx), i, argusv1.JobStatus_JOB_STATUS_COMPLETED)
		})
	}
	return all.Wait()
}
