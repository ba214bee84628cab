package server_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// Consumer groups are created and deleted explicitly; a read does not create one.
func TestGroups(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		b.publish(t, "job")
		read := &argusv1.ReadRequest{Group: "archive", Consumer: "w"}
		_, err := b.queue.Read(b.ctx, read)
		w := wantError(t, err, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_GROUP_NOT_FOUND)
		if w.metadata["group"] != "archive" || w.metadata["queue"] != "argus_task_queue" || !strings.Contains(err.Error(), "argus group create") {
			t.Errorf("error %v with %v, want the group, the queue and what to do", err, w.metadata)
		}
		stream, err := b.queue.Consume(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Start{Start: &argusv1.ConsumeStart{Group: "archive", Consumer: "w", MaxOutstanding: 1}}}); err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		wantError(t, err, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_GROUP_NOT_FOUND)

		if r, err := b.admin.CreateGroup(b.ctx, &argusv1.CreateGroupRequest{Group: "archive"}); err != nil || !r.GetCreated() {
			t.Errorf("CreateGroup: %v, %v; want created", r, err)
		}
		if r, err := b.queue.Read(b.ctx, read); err != nil || len(r.GetDeliveries()) != 1 {
			t.Errorf("Read with the new group: %v, %v; want one task", r, err)
		}
		q, err := b.admin.GetQueue(b.ctx, &argusv1.GetQueueRequest{})
		if err != nil || len(q.GetQueue().GetGroups()) != 2 {
			t.Fatalf("queue %v, %v; want two groups", q, err)
		}
		for _, g := range q.GetQueue().GetGroups() {
			if (g.GetIdle() != nil) != (g.GetName() == "archive") || g.GetUnread() {
				t.Errorf("group %v, want an idle time for archive only", g)
			}
		}
		_, err = b.admin.DeleteGroup(b.ctx, &argusv1.DeleteGroupRequest{Group: "archive"})
		wantError(t, err, codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_GROUP_IN_USE)
		if _, err := b.admin.DeleteGroup(b.ctx, &argusv1.DeleteGroupRequest{Group: "archive", Force: true}); err != nil {
			t.Error(err)
		}
		_, err = b.admin.DeleteGroup(b.ctx, &argusv1.DeleteGroupRequest{Group: "archive"})
		wantError(t, err, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_GROUP_NOT_FOUND)
		_, err = b.admin.CreateGroup(b.ctx, &argusv1.CreateGroupRequest{Group: ""})
		wantError(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
	})
}
