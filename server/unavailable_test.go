package server_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestRedisStopsAndRestarts(t *testing.T) {
	t.Parallel()
	store := redistest.Own(t, "--appendonly", "yes", "--appendfsync", "always")
	b := setup(t, store.Engine())
	health, err := healthpb.NewHealthClient(b.conn).Watch(b.ctx, &healthpb.HealthCheckRequest{Service: "argus.v1.TaskQueue"})
	if err != nil {
		t.Fatal(err)
	}
	until := func(status healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for {
			r, err := health.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if r.GetStatus() == status {
				return
			}
		}
	}
	until(healthpb.HealthCheckResponse_SERVING)
	b.publish(t, "job")
	d := b.readOne(t)
	store.Kill()
	_, err = b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{}, RequestId: "r"})
	if w := wantError(t, err, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE); !w.retryable {
		t.Error("the error is not retryable")
	}
	_, port, _ := net.SplitHostPort(store.Addr)
	for _, leak := range []string{port, "dial", "EOF", "redis:", b.engine.Prefix} {
		if strings.Contains(err.Error(), leak) {
			t.Errorf("the error leaks %q: %v", leak, err)
		}
	}
	_, err = b.queue.Complete(b.ctx, &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: completed})
	wantError(t, err, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE)
	until(healthpb.HealthCheckResponse_NOT_SERVING)
	if err := store.Start(); err != nil {
		t.Fatal(err)
	}
	until(healthpb.HealthCheckResponse_SERVING)
	if _, err := b.queue.Complete(b.ctx, &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: completed}); err != nil {
		t.Errorf("after the restart: %v, want no error", err)
	}
}

// A Redis that is a replica, or still loads its data, is unavailable, and is used again as soon
// as that ends.
func TestReplicaAndLoading(t *testing.T) {
	t.Parallel()
	// Loading takes a while, and Redis answers during it.
	own := redistest.Own(t, "--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")
	b := setup(t, own.Engine())
	publish := func() error {
		_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{}, RequestId: "r"})
		return err
	}
	await := func(what string, done func() bool) {
		t.Helper()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for !done() {
			select {
			case <-tick.C:
			case <-b.ctx.Done():
				t.Fatal(what, "did not happen in time")
			}
		}
	}
	if err := b.raw.ReplicaOf(b.ctx, "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	err := publish()
	if w := wantError(t, err, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE); !w.retryable || strings.Contains(err.Error(), "READONLY") {
		t.Errorf("error %+v (%v), want it retryable and without the text of Redis", w, err)
	}
	if err := b.raw.ReplicaOf(b.ctx, "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	if err := publish(); err != nil {
		t.Errorf("after it is a master again: %v, want no error", err)
	}
	for i := range 300 {
		b.raw.Set(b.ctx, b.key(strings.Repeat("x", 200)+string(rune('a'+i%26))+time.Now().String()), strings.Repeat("x", 500), 0)
	}
	if err := b.raw.Save(b.ctx).Err(); err != nil {
		t.Fatal(err)
	}
	own.Kill()
	started := make(chan error, 1)
	go func() { started <- own.Start() }()
	await("the loading", func() bool {
		err := b.raw.Get(b.ctx, "x").Err()
		return err != nil && strings.HasPrefix(err.Error(), "LOADING")
	})
	err = publish()
	if w := wantError(t, err, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE); !w.retryable || strings.Contains(err.Error(), "LOADING") {
		t.Errorf("error %+v (%v), want it retryable and without the text of Redis", w, err)
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if err := publish(); err != nil {
		t.Errorf("after it has loaded: %v, want no error", err)
	}
}
