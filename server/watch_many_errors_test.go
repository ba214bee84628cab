package server_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestWatchManyErrors(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	for field, r := range map[string]*argusv1.WatchManyRequest{
		"add[1].job_id":       add(&argusv1.WatchJob{JobId: "a"}, &argusv1.WatchJob{JobId: "{"}),
		"add[0].after_cursor": add(&argusv1.WatchJob{JobId: "a", AfterCursor: "x"}),
		"add":                 {Add: make([]*argusv1.WatchJob, 10_001)},
		"heartbeat_interval":  {HeartbeatInterval: durationpb.New(1)},
	} {
		stream, err := b.done.WatchMany(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		for err == nil {
			_, err = stream.Recv()
		}
		if w := wantError(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT); len(w.fields) != 1 || w.fields[0] != field {
			t.Errorf("fields %q, want %q", w.fields, field)
		}
	}
}

func TestShutdownEndsWatchMany(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	stream := b.watchMany(t, &argusv1.WatchJob{JobId: "a"})
	if r := must(stream.Recv())(t); r.GetSnapshot() == nil {
		t.Fatalf("received %v, want the snapshot", r)
	}
	b.shutdown()
	_, err := stream.Recv()
	wantError(t, err, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_SERVER_SHUTTING_DOWN)
}
