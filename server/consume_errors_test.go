package server_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestConsumeErrors(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	start := func(s *argusv1.ConsumeStart) []*argusv1.ConsumeRequest {
		return []*argusv1.ConsumeRequest{{Request: &argusv1.ConsumeRequest_Start{Start: s}}}
	}
	good := &argusv1.ConsumeStart{Consumer: "w", MaxOutstanding: 1}
	for field, requests := range map[string][]*argusv1.ConsumeRequest{
		"start":                    {{Request: &argusv1.ConsumeRequest_Heartbeat{}}},
		"start.max_outstanding":    start(&argusv1.ConsumeStart{Consumer: "w"}),
		"start.max_outstanding ":   start(&argusv1.ConsumeStart{Consumer: "w", MaxOutstanding: 1001}),
		"start.consumer":           start(&argusv1.ConsumeStart{MaxOutstanding: 1}),
		"start.group":              start(&argusv1.ConsumeStart{Consumer: "w", MaxOutstanding: 1, Group: "{"}),
		"start.queue":              start(&argusv1.ConsumeStart{Consumer: "w", MaxOutstanding: 1, Queue: "{"}),
		"start.heartbeat_interval": start(&argusv1.ConsumeStart{Consumer: "w", MaxOutstanding: 1, HeartbeatInterval: durationpb.New(1)}),
		"request":                  append(start(good), start(good)...),
		"request ":                 append(start(good), &argusv1.ConsumeRequest{}),
		"set_max_outstanding":      append(start(good), &argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_SetMaxOutstanding{SetMaxOutstanding: -1}}),
	} {
		t.Run(field, func(t *testing.T) {
			s, err := b.queue.Consume(b.ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range requests {
				if err := s.Send(r); err != nil {
					t.Fatal(err)
				}
			}
			_, err = s.Recv()
			w := wantError(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
			if len(w.fields) != 1 || w.fields[0] != strings.TrimSpace(field) {
				t.Errorf("fields %q, want %q", w.fields, field)
			}
		})
	}
	// A permanent error of the store ends the stream.
	b.raw.Set(b.ctx, b.key("wrong"), "x", 0)
	s, err := b.queue.Consume(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(start(&argusv1.ConsumeStart{Queue: "wrong", Consumer: "w", MaxOutstanding: 1})[0]); err != nil {
		t.Fatal(err)
	}
	_, err = s.Recv()
	wantError(t, err, codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_KEY_TYPE_CONFLICT)
	c := b.consume(t, "w", 1)
	c.silence()
	b.raw.Del(b.ctx, b.key("argus_task_queue"))
	b.raw.Set(b.ctx, b.key("argus_task_queue"), "x", 0)
	for {
		if _, err := c.Recv(); err != nil {
			wantError(t, err, codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_KEY_TYPE_CONFLICT)
			break
		}
	}
	b.raw.Del(b.ctx, b.key("argus_task_queue"))
	c = b.consume(t, "w", 1)
	c.silence()
	b.shutdown()
	for {
		if _, err := c.Recv(); err != nil {
			wantError(t, err, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_SERVER_SHUTTING_DOWN)
			break
		}
	}
}
