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

func (b *bundle) initState(t *testing.T, conflict argusv1.OnConflict, fields map[string]string) *argusv1.InitResponse {
	t.Helper()
	return must(b.state.Init(b.ctx, &argusv1.InitRequest{JobId: "job", Fields: fields, OnConflict: conflict}))(t)
}

func TestInitOfAnExistingState(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		stored := func() map[string]string { return b.raw.HGetAll(b.ctx, b.key("job_state:job")).Val() }
		if r := b.initState(t, argusv1.OnConflict_ON_CONFLICT_UNSPECIFIED, map[string]string{"a": "1"}); !r.GetCreated() {
			t.Error("Init did not create the state")
		}
		_, err := b.state.Init(b.ctx, &argusv1.InitRequest{JobId: "job", OnConflict: argusv1.OnConflict_ON_CONFLICT_FAIL})
		w := wantError(t, err, codes.AlreadyExists, argusv1.ErrorReason_ERROR_REASON_JOB_ALREADY_EXISTS)
		if w.metadata["job_id"] != "job" {
			t.Errorf("metadata %v, want the job_id", w.metadata)
		}
		if r := b.initState(t, argusv1.OnConflict_ON_CONFLICT_KEEP, map[string]string{"a": "2"}); r.GetCreated() {
			t.Error("Init with KEEP says that it created the state")
		}
		if diff := cmp.Diff(map[string]string{"a": "1", "status": "pending"}, stored()); diff != "" {
			t.Error("after KEEP:", diff)
		}
		if r := b.initState(t, argusv1.OnConflict_ON_CONFLICT_REPLACE, map[string]string{"b": "2"}); r.GetCreated() {
			t.Error("Init with REPLACE says that it created the state")
		}
		if got := stored(); got["a"] != "" || got["b"] != "2" {
			t.Errorf("after REPLACE the state is %v, want only b beside the status", got)
		}
		if ttl := b.raw.PTTL(b.ctx, b.key("job_state:job")).Val(); ttl <= 0 {
			t.Errorf("the replaced state has the ttl %s, want one", ttl)
		}
	})
}

// largeNumber is JSON that a double cannot hold and that encoding it again would change.
const largeNumber = `{"n": 9007199254740993 , "s":"<ü>"}`

// writeState fills a state with values of all kinds.
func (b *bundle) writeState(t *testing.T) {
	t.Helper()
	b.initState(t, argusv1.OnConflict_ON_CONFLICT_FAIL, map[string]string{"b": "2"})
	must(b.state.SetJSON(b.ctx, &argusv1.SetJSONRequest{JobId: "job", Field: "j", Input: &argusv1.SetJSONRequest_Json{Json: largeNumber}}))(t)
	value := must(structpb.NewValue(map[string]any{"x": []any{1.0, "a", nil}}))(t)
	must(b.state.SetJSON(b.ctx, &argusv1.SetJSONRequest{JobId: "job", Field: "v", Input: &argusv1.SetJSONRequest_Value{Value: value}}))(t)
	must(b.state.SetFields(b.ctx, &argusv1.SetFieldsRequest{JobId: "job", Fields: map[string]string{"c": "", "status": "odd word"}}))(t)
	b.raw.HSet(b.ctx, b.key("job_state:job"), "bin", "\xff")
}

func TestGetAllReturnsWhatWasWritten(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		b.writeState(t)
		all := must(b.state.GetAll(b.ctx, &argusv1.GetAllRequest{JobId: "job"}))(t)
		want := map[string]string{"b": "2", "j": largeNumber, "v": `{"x":[1,"a",null]}`, "c": "", "status": "odd word"}
		if diff := cmp.Diff(want, all.GetFields()); diff != "" {
			t.Error("fields:", diff)
		}
		if string(all.GetBinaryFields()["bin"]) != "\xff" || all.GetStatus() != 0 || all.GetStatusText() != "odd word" || all.GetTtl() == nil {
			t.Errorf("%v, want the binary field, the unknown status as text, and a ttl", all)
		}
		some := must(b.state.GetAll(b.ctx, &argusv1.GetAllRequest{JobId: "job", Fields: []string{"b", "none"}}))(t)
		if diff := cmp.Diff(map[string]string{"b": "2"}, some.GetFields()); diff != "" || some.GetStatusText() != "odd word" {
			t.Errorf("%v, want the field b and the status: %s", some, diff)
		}
	})
}

func TestGetField(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		b.writeState(t)
		if r := must(b.state.GetField(b.ctx, &argusv1.GetFieldRequest{JobId: "job", Field: "j"}))(t); r.GetValue() != largeNumber {
			t.Errorf("value %q, want %q", r.GetValue(), largeNumber)
		}
		if r := must(b.state.GetField(b.ctx, &argusv1.GetFieldRequest{JobId: "job", Field: "bin"}))(t); string(r.GetBinaryValue()) != "\xff" {
			t.Errorf("binary value %q, want %q", r.GetBinaryValue(), "\xff")
		}
		_, err := b.state.GetField(b.ctx, &argusv1.GetFieldRequest{JobId: "job", Field: "none"})
		wantError(t, err, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_FIELD_NOT_FOUND)
	})
}

func TestDeleteState(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		b.writeState(t)
		for _, want := range []bool{true, false} {
			if r := must(b.state.Delete(b.ctx, &argusv1.DeleteRequest{JobId: "job"}))(t); r.GetDeleted() != want {
				t.Errorf("deleted = %v, want %v", r.GetDeleted(), want)
			}
		}
		_, err := b.state.GetAll(b.ctx, &argusv1.GetAllRequest{JobId: "job"})
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
			t.Errorf("jobs %v are not listed", want)
		}
	})
}
