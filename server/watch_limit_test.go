package server_test

import (
	"testing"

	"google.golang.org/grpc/codes"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/server"
)

// The jobs that all streams watch are bounded. Jobs that are removed or done make room.
func TestMaxWatchedJobs(t *testing.T) {
	t.Parallel()
	b := setupServer(t, redistest.Embedded(t), job.Settings{}, func(c *server.Config) { c.MaxWatchedJobs = 3 })
	one, err := b.done.WatchMany(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	watches := func(r *argusv1.WatchManyRequest, snapshots int) {
		t.Helper()
		if err := one.Send(r); err != nil {
			t.Fatal(err)
		}
		for range snapshots {
			if r, err := one.Recv(); err != nil || r.GetSnapshot() == nil {
				t.Fatalf("received %v, %v; want a snapshot", r, err)
			}
		}
	}
	jobs := []*argusv1.WatchJob{{JobId: "a"}, {JobId: "b"}, {JobId: "c"}}
	watches(add(jobs...), 3)
	refused := func() {
		t.Helper()
		err := b.watchError(&argusv1.WatchRequest{JobId: "d"})
		if w := wantError(t, err, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_SERVER_BUSY); !w.retryable {
			t.Error("the error is not retryable")
		}
		many, err := b.done.WatchMany(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := many.Send(add(jobs[0])); err != nil {
			t.Fatal(err)
		}
		_, err = many.Recv()
		wantError(t, err, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_SERVER_BUSY)
	}
	refused()
	watches(&argusv1.WatchManyRequest{Remove: []string{"a", "b"}, Add: jobs[1:2]}, 1)
	watch, err := b.done.Watch(b.ctx, &argusv1.WatchRequest{JobId: "d"})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := watch.Recv(); err != nil || r.GetSnapshot() == nil {
		t.Fatalf("received %v, %v; want the snapshot", r, err)
	}
	refused()
	if _, err := b.done.Publish(b.ctx, &argusv1.CompletionPublishRequest{JobId: "d", Status: completed}); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = watch.Recv()
	}
	watches(add(jobs[0]), 1)
}
