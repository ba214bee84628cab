package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

// StateStore is what the service JobState needs from the store.
type StateStore interface {
	InitState(ctx context.Context, r state.InitRequest) (created bool, err error)
	SetState(ctx context.Context, jobID string, fields map[string]string, token string) error
	State(ctx context.Context, jobID string, names []string) (state.State, error)
	StateField(ctx context.Context, jobID, field string) (string, error)
	DeleteState(ctx context.Context, jobID string) (bool, error)
	ListJobs(ctx context.Context, after string, count int) (jobs []state.Summary, next string, err error)
}

// jobState is the service JobState.
type jobState struct {
	argusv1.UnsafeJobStateServer

	states StateStore
}

var conflicts = map[argusv1.OnConflict]state.OnConflict{
	argusv1.OnConflict_ON_CONFLICT_UNSPECIFIED: state.ConflictFail,
	argusv1.OnConflict_ON_CONFLICT_FAIL:        state.ConflictFail,
	argusv1.OnConflict_ON_CONFLICT_KEEP:        state.ConflictKeep,
	argusv1.OnConflict_ON_CONFLICT_REPLACE:     state.ConflictReplace,
}

func (j *jobState) Init(ctx context.Context, r *argusv1.InitRequest) (*argusv1.InitResponse, error) {
	ttl, err := fromTTL("ttl", r.GetTtl())
	if err != nil {
		return nil, err
	}
	conflict, ok := conflicts[r.GetOnConflict()]
	if !ok {
		return nil, &job.ArgumentError{Field: "on_conflict", Problem: "is unknown; use FAIL, KEEP or REPLACE"}
	}
	created, err := j.states.InitState(ctx, state.InitRequest{
		JobID: r.GetJobId(), InitialState: job.InitialState{Fields: r.GetFields(), TTL: ttl, Parts: r.GetParts()}, OnConflict: conflict,
	})
	if err != nil {
		return nil, err
	}
	return &argusv1.InitResponse{Created: created}, nil
}

func (j *jobState) SetField(ctx context.Context, r *argusv1.SetFieldRequest) (*argusv1.SetFieldResponse, error) {
	if err := j.setOne(ctx, r, "value", r.GetValue()); err != nil {
		return nil, err
	}
	return &argusv1.SetFieldResponse{}, nil
}

// setOne writes one field. Errors about its value name valueField, the request's field.
func (j *jobState) setOne(ctx context.Context, r interface {
	GetJobId() string
	GetField() string
	GetLeaseToken() string
}, valueField, value string) error {
	err := errors.Join(job.CheckFieldName("field", r.GetField()), job.CheckSize(valueField, len(value)))
	if err != nil {
		return err
	}
	err = j.states.SetState(ctx, r.GetJobId(), map[string]string{r.GetField(): value}, r.GetLeaseToken())
	var argument *job.ArgumentError
	if errors.As(err, &argument) && strings.HasPrefix(argument.Field, "fields") {
		err = &job.ArgumentError{Field: valueField, Problem: argument.Problem}
	}
	return err
}

func (j *jobState) SetFields(ctx context.Context, r *argusv1.SetFieldsRequest) (*argusv1.SetFieldsResponse, error) {
	if err := j.states.SetState(ctx, r.GetJobId(), r.GetFields(), r.GetLeaseToken()); err != nil {
		return nil, err
	}
	return &argusv1.SetFieldsResponse{}, nil
}

func (j *jobState) SetJSON(ctx context.Context, r *argusv1.SetJSONRequest) (*argusv1.SetJSONResponse, error) {
	text, err := jsonInput(r)
	if err != nil {
		return nil, err
	}
	if err := j.setOne(ctx, r, "json", text); err != nil {
		return nil, err
	}
	return &argusv1.SetJSONResponse{}, nil
}

// jsonInput returns the JSON text to store.
func jsonInput(r *argusv1.SetJSONRequest) (string, error) {
	switch input := r.GetInput().(type) {
	case *argusv1.SetJSONRequest_Json:
		if !json.Valid([]byte(input.Json)) {
			return "", &job.ArgumentError{Field: "json", Problem: "is not valid JSON"}
		}
		return input.Json, nil
	case *argusv1.SetJSONRequest_Value:
		text, err := protojson.Marshal(input.Value)
		if err != nil {
			return "", &job.ArgumentError{Field: "value", Problem: "can't be written as JSON; NaN and infinities can't"}
		}
		var compact bytes.Buffer // protojson varies its white space deliberately
		if err := json.Compact(&compact, text); err != nil {
			return "", err
		}
		return compact.String(), nil
	}
	return "", &job.ArgumentError{Field: "json", Problem: "must be set, or value"}
}

func (j *jobState) GetAll(ctx context.Context, r *argusv1.GetAllRequest) (*argusv1.GetAllResponse, error) {
	st, err := j.states.State(ctx, r.GetJobId(), r.GetFields())
	if err != nil {
		return nil, err
	}
	response := &argusv1.GetAllResponse{Status: toStatusEnum(st.Status), StatusText: valid(string(st.Status))}
	response.Fields, response.BinaryFields = job.SplitText(st.Fields)
	if st.TTL >= 0 {
		response.Ttl = durationpb.New(st.TTL)
	}
	return response, nil
}

func (j *jobState) GetField(ctx context.Context, r *argusv1.GetFieldRequest) (*argusv1.GetFieldResponse, error) {
	if r.GetField() == "" {
		return nil, missing("field")
	}
	value, err := j.states.StateField(ctx, r.GetJobId(), r.GetField())
	if err != nil {
		return nil, err
	}
	if !utf8.ValidString(value) {
		return &argusv1.GetFieldResponse{BinaryValue: []byte(value)}, nil
	}
	return &argusv1.GetFieldResponse{Value: value}, nil
}

func (j *jobState) Delete(ctx context.Context, r *argusv1.DeleteRequest) (*argusv1.DeleteResponse, error) {
	deleted, err := j.states.DeleteState(ctx, r.GetJobId())
	if err != nil {
		return nil, err
	}
	return &argusv1.DeleteResponse{Deleted: deleted}, nil
}

func (j *jobState) List(ctx context.Context, r *argusv1.ListRequest) (*argusv1.ListResponse, error) {
	size, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	jobs, next, err := j.states.ListJobs(ctx, r.GetPageToken(), size)
	if err != nil {
		return nil, err
	}
	response := &argusv1.ListResponse{NextPageToken: next}
	for _, summary := range jobs {
		if !utf8.ValidString(summary.JobID) {
			continue // written by a raw peer; no call can name this job
		}
		response.Jobs = append(response.Jobs, &argusv1.JobSummary{
			JobId: summary.JobID, Status: toStatusEnum(summary.Status), StatusText: valid(string(summary.Status)),
			CompletedAt: toTimestamp(summary.CompletedAt),
		})
	}
	return response, nil
}
