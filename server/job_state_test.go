package server_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestJobState(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		init := func(conflict argusv1.OnConflict, fields map[string]string) (*argusv1.InitResponse, error) {
			return b.state.Init(b.ctx, &argusv1.InitRequest{JobId: "job", Fields: fields, OnConflict: conflict})
		}
		if r, err := init(0, map[string]string{"a": "1"}); err != nil || !r.GetCreated() {
			t.Fatal(r, err)
		}
		_, err := init(argusv1.OnConflict_ON_CONFLICT_FAIL, nil)
		w := wantError(t, err, codes.AlreadyExists, argusv1.ErrorReason_ERROR_REASON_JOB_ALREADY_EXISTS)
		if w.metadata["job_id"] != "job" {
			t.Error("metadata", w.metadata)
		}
		if r, err := init(argusv1.OnConflict_ON_CONFLICT_KEEP, map[string]string{"a": "2"}); err != nil || r.GetCreated() {
			t.Error(r, err)
		}
		want := map[string]string{"a": "1", "status": "pending"}
		if diff := cmp.Diff(want, b.raw.HGetAll(b.ctx, b.key("job_state:job")).Val()); diff != "" {
			t.Error(diff)
		}
		if r, err := init(argusv1.OnConflict_ON_CONFLICT_REPLACE, map[string]string{"b": "2"}); err != nil || r.GetCreated() {
			t.Error(r, err)
		}
		if ttl := b.raw.PTTL(b.ctx, b.key("job_state:job")).Val(); ttl <= 0 {
			t.Error("a replaced state lives", ttl)
		}
		big := `{"n": 9007199254740993 , "s":"<ü>"}`
		if _, err := b.state.SetJSON(b.ctx, &argusv1.SetJSONRequest{JobId: "job", Field: "j", Input: &argusv1.SetJSONRequest_Json{Json: big}}); err != nil {
			t.Error(err)
		}
		value, _ := structpb.NewValue(map[string]any{"x": []any{1.0, "a", nil}})
		if _, err := b.state.SetJSON(b.ctx, &argusv1.SetJSONRequest{JobId: "job", Field: "v", Input: &argusv1.SetJSONRequest_Value{Value: value}}); err != nil {
			t.Error(err)
		}
		if _, err := b.state.SetFields(b.ctx, &argusv1.SetFieldsRequest{JobId: "job", Fields: map[string]string{"c": "", "status": "odd word"}}); err != nil {
			t.Error(err)
		}
		b.raw.HSet(b.ctx, b.key("job_state:job"), "bin", "\xff")
		all, err := b.state.GetAll(b.ctx, &argusv1.GetAllRequest{JobId: "job"})
		if err != nil {
			t.Fatal(err)
		}
		want = map[string]string{"b": "2", "j": big, "v": `{"x":[1,"a",null]}`, "c": "", "status": "odd word"}
		if diff := cmp.Diff(want, all.GetFields()); diff != "" || string(all.GetBinaryFields()["bin"]) != "\xff" ||
			all.GetStatus() != 0 || all.GetStatusText() != "odd word" || all.GetTtl() == nil {
			t.Error(all, diff)
		}
		some, err := b.state.GetAll(b.ctx, &argusv1.GetAllRequest{JobId: "job", Fields: []string{"b", "none"}})
		if diff := cmp.Diff(map[string]string{"b": "2"}, some.GetFields()); err != nil || diff != "" || some.GetStatusText() != "odd word" {
			t.Error(some, err, diff)
		}
		if r, err := b.state.GetField(b.ctx, &argusv1.GetFieldRequest{JobId: "job", Field: "j"}); err != nil || r.GetValue() != big {
			t.Error(r, err)
		}
		if r, err := b.state.GetField(b.ctx, &argusv1.GetFieldRequest{JobId: "job", Field: "bin"}); err != nil || string(r.GetBinaryValue()) != "\xff" {
			t.Error(r, err)
		}
		_, err = b.state.GetField(b.ctx, &argusv1.GetFieldRequest{JobId: "job", Field: "none"})
		wantError(t, err, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_FIELD_NOT_FOUND)
		if r, err := b.state.Delete(b.ctx, &argusv1.DeleteRequest{JobId: "job"}); err != nil || !r.GetDeleted() {
			t.Error(r, err)
		}
		if r, err := b.state.Delete(b.ctx, &argusv1.DeleteRequest{JobId: "job"}); err != nil || r.GetDeleted() {
			t.Error("again:", r, err)
		}
		_, err = b.state.GetAll(b.ctx, &argusv1.GetAllRequest{JobId: "job"})
		wantError(t, err, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_JOB_NOT_FOUND)
		_, err = b.state.GetField(b.ctx, &argusv1.GetFieldRequest{JobId: "job", Field: "x"})
		wantError(t, err, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_JOB_NOT_FOUND)
	})
}

func TestListJobs(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		want := make(map[string]bool)
		for i := range 120 {
			job := strings.Repeat("j", i+1)
			want[job] = true
			if _, err := b.state.Init(b.ctx, &argusv1.InitRequest{JobId: job, Fields: map[string]string{"status": "running"}}); err != nil {
				t.Fatal(err)
			}
		}
		b.raw.Set(b.ctx, b.key("job_state:text"), "not a hash", 0)
		token := ""
		for {
			page, err := b.state.List(b.ctx, &argusv1.ListRequest{PageSize: 10, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			for _, job := range page.GetJobs() {
				if job.GetStatus() != argusv1.JobStatus_JOB_STATUS_RUNNING {
					t.Error(job)
				}
				delete(want, job.GetJobId())
			}
			if token = page.GetNextPageToken(); token == "" {
				break
			}
		}
		if len(want) != 0 {
			t.Error("not listed:", want)
		}
	})
}

// A worker that lost its lease can't write the job's state.
func TestFencedState(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		b.publish(t, "job")
		token := b.readOne(t).GetLeaseToken()
		writes := map[string]func() error{
			"SetField": func() error {
				_, err := b.state.SetField(b.ctx, &argusv1.SetFieldRequest{JobId: "job", Field: "a", Value: "1", LeaseToken: token})
				return err
			},
			"SetFields": func() error {
				_, err := b.state.SetFields(b.ctx, &argusv1.SetFieldsRequest{JobId: "job", Fields: map[string]string{"a": "1"}, LeaseToken: token})
				return err
			},
			"SetJSON": func() error {
				_, err := b.state.SetJSON(b.ctx, &argusv1.SetJSONRequest{JobId: "job", Field: "a", Input: &argusv1.SetJSONRequest_Json{Json: "1"}, LeaseToken: token})
				return err
			},
		}
		for name, write := range writes {
			if err := write(); err != nil {
				t.Error(name, err)
			}
		}
		if _, err := b.queue.Complete(b.ctx, &argusv1.CompleteRequest{LeaseToken: token, Status: completed}); err != nil {
			t.Fatal(err)
		}
		before := b.raw.HGetAll(b.ctx, b.key("job_state:job")).Val()
		for name, write := range writes {
			wantError(t, write(), codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_LEASE_LOST)
			if after := b.raw.HGetAll(b.ctx, b.key("job_state:job")).Val(); len(after) != len(before) {
				t.Error(name, "wrote", after)
			}
		}
	})
}
