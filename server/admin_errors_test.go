package server_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// setupSmallQueue is setup with a queue that holds one task, and one of each job. The returned
// function publishes to it.
func setupSmallQueue(t *testing.T) (b *bundle, publish func(id string) error) {
	t.Helper()
	b = setupWith(t, redistest.Embedded(t), job.Settings{Queues: map[string]job.QueueSettings{"small": {MaxLength: 1, UniqueJobs: true}}})
	publish = func(id string) error {
		_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Queue: "small", Task: &argusv1.Task{JobId: id}})
		return err
	}
	if err := publish("a"); err != nil {
		t.Fatal(err)
	}
	return b, publish
}

func TestQueueRefusesTasks(t *testing.T) {
	t.Parallel()
	_, publish := setupSmallQueue(t)
	wantError(t, publish("a"), codes.AlreadyExists, argusv1.ErrorReason_ERROR_REASON_JOB_ACTIVE)
	w := wantError(t, publish("b"), codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_QUEUE_FULL)
	if !w.retryable || w.metadata["queue"] != "small" {
		t.Errorf("error %+v, want it retryable and with its queue", w)
	}
}

func TestUnknownJobs(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	_, err := b.queue.Cancel(b.ctx, &argusv1.CancelRequest{JobId: "none"})
	wantError(t, err, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_JOB_NOT_FOUND)
	_, err = b.admin.GetJob(b.ctx, &argusv1.GetJobRequest{JobId: "none"})
	wantError(t, err, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_JOB_NOT_FOUND)
}

func TestUnknownQueues(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	for name, call := range map[string]func() error{
		"get": func() error { _, err := b.admin.GetQueue(b.ctx, &argusv1.GetQueueRequest{Queue: "none"}); return err },
		"purge": func() error {
			_, err := b.admin.PurgeQueue(b.ctx, &argusv1.PurgeQueueRequest{Queue: "none"})
			return err
		},
		"count": func() error {
			_, err := b.admin.PurgeQueue(b.ctx, &argusv1.PurgeQueueRequest{Queue: "none", DryRun: true})
			return err
		},
		"consumers": func() error {
			_, err := b.admin.ListConsumers(b.ctx, &argusv1.ListConsumersRequest{Queue: "none"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, call(), codes.NotFound, argusv1.ErrorReason_ERROR_REASON_QUEUE_NOT_FOUND)
		})
	}
}

// wantFields checks that each call fails with exactly the field that is its key. Space at the
// end of a key distinguishes calls with the same field.
func wantFields(t *testing.T, calls map[string]func() error) {
	t.Helper()
	for field, call := range calls {
		t.Run(field, func(t *testing.T) {
			w := wantError(t, call(), codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
			if field := strings.TrimSpace(field); len(w.fields) != 1 || w.fields[0] != field {
				t.Errorf("fields %q, want %q", w.fields, field)
			}
		})
	}
}

func TestBadAdminRequests(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	wantFields(t, map[string]func() error{
		"job_id": func() error { _, err := b.queue.Cancel(b.ctx, &argusv1.CancelRequest{JobId: "{"}); return err },
		"reason": func() error {
			_, err := b.queue.Cancel(b.ctx, &argusv1.CancelRequest{JobId: "j", Reason: strings.Repeat("x", 5000)})
			return err
		},
		"page_size": func() error {
			_, err := b.admin.ListPending(b.ctx, &argusv1.ListPendingRequest{PageSize: 1001})
			return err
		},
		"page_token": func() error {
			_, err := b.admin.ListPending(b.ctx, &argusv1.ListPendingRequest{PageToken: "x"})
			return err
		},
		"ids": func() error {
			_, err := b.admin.RedriveDeadLetters(b.ctx, &argusv1.RedriveDeadLettersRequest{})
			return err
		},
		"ids ": func() error {
			_, err := b.admin.DeleteDeadLetters(b.ctx, &argusv1.DeleteDeadLettersRequest{All: true, Ids: []string{"1-1"}})
			return err
		},
		"ids  ": func() error {
			_, err := b.admin.DeleteDeadLetters(b.ctx, &argusv1.DeleteDeadLettersRequest{Ids: []string{"x"}})
			return err
		},
		"queue": func() error { _, err := b.admin.PauseQueue(b.ctx, &argusv1.PauseQueueRequest{Queue: "*"}); return err },
		"queue ": func() error {
			_, err := b.admin.ResumeQueue(b.ctx, &argusv1.ResumeQueueRequest{Queue: "*"})
			return err
		},
	})
}

func TestBadPartsAndReleases(t *testing.T) {
	t.Parallel()
	b, _ := setupSmallQueue(t)
	small := must(b.queue.Read(b.ctx, &argusv1.ReadRequest{Queue: "small", Consumer: "w"}))(t)
	if len(small.GetDeliveries()) != 1 {
		t.Fatalf("read %v, want one task", small)
	}
	wantFields(t, map[string]func() error{
		"part": func() error {
			if _, err := b.state.Init(b.ctx, &argusv1.InitRequest{JobId: "p", Parts: []string{"a"}}); err != nil {
				t.Error(err)
			}
			_, err := b.done.Publish(b.ctx, &argusv1.CompletionPublishRequest{JobId: "p", Status: completed, Part: "x"})
			return err
		},
		"parts[0]": func() error {
			_, err := b.state.Init(b.ctx, &argusv1.InitRequest{JobId: "j", Parts: []string{""}})
			return err
		},
		"initial_state.parts[1]": func() error {
			_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{}, InitialState: &argusv1.InitialState{Parts: []string{"a", "a"}}})
			return err
		},
		"task.part": func() error {
			_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{Part: "a b"}})
			return err
		},
		"release": func() error {
			_, err := b.queue.Nack(b.ctx, &argusv1.NackRequest{LeaseToken: small.GetDeliveries()[0].GetLeaseToken(), Release: true, Delay: &durationpb.Duration{}})
			return err
		},
	})
}
