// Package codec encodes and decodes the messages of a task's life faster than gRPC's standard
// codec: by generated code without reflection (vtprotobuf), and with strings that share a
// request's memory. The wire format is the same. The server uses it; a client in Go can, too:
//
//	grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec.New()))
package codec

import (
	"errors"
	"unicode/utf8"

	"google.golang.org/grpc/encoding"
	standard "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// New returns the codec. Its name is that of the standard one, which it replaces.
func New() encoding.CodecV2 { return fast{encoding.GetCodecV2(standard.Name)} }

type fast struct{ encoding.CodecV2 }

// generated are the methods that vtprotobuf generates for a message.
type generated interface {
	SizeVT() int
	MarshalToSizedBufferVT([]byte) (int, error)
	UnmarshalVTUnsafe([]byte) error
}

func (c fast) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(generated)
	if !ok || !isFast(v) {
		return c.CodecV2.Marshal(v)
	}
	size := m.SizeVT()
	if mem.IsBelowBufferPoolingThreshold(size) {
		buf := make([]byte, size)
		_, err := m.MarshalToSizedBufferVT(buf)
		return mem.BufferSlice{mem.SliceBuffer(buf)}, err
	}
	pool := mem.DefaultBufferPool()
	buf := pool.Get(size)
	if _, err := m.MarshalToSizedBufferVT((*buf)[:size]); err != nil {
		pool.Put(buf)
		return nil, err
	}
	return mem.BufferSlice{mem.NewBuffer(buf, pool)}, nil
}

var errText = errors.New("string field contains invalid UTF-8")

func (c fast) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(generated)
	if !ok || !isFast(v) {
		return c.CodecV2.Unmarshal(data, v)
	}
	// The message's strings refer to this copy.
	if err := m.UnmarshalVTUnsafe(data.Materialize()); err != nil {
		return err
	}
	if !isText(v) {
		return errText
	}
	return nil
}

// isFast is true of the messages that this codec handles itself: frequent ones. isText must know
// every string of the requests among them.
func isFast(v any) bool {
	switch v.(type) {
	case *argusv1.PublishRequest, *argusv1.PublishBatchRequest, *argusv1.ReadRequest, *argusv1.ConsumeRequest,
		*argusv1.CompleteRequest, *argusv1.CompleteBatchRequest, *argusv1.AckRequest, *argusv1.ExtendLeaseRequest,
		*argusv1.PublishResponse, *argusv1.PublishBatchResponse, *argusv1.ReadResponse, *argusv1.ConsumeResponse,
		*argusv1.CompleteResponse, *argusv1.CompleteBatchResponse, *argusv1.AckResponse, *argusv1.ExtendLeaseResponse:
		return true
	}
	return false
}

// isText reports whether the strings of a request are UTF-8, which the generated code does not check.
func isText(v any) bool {
	switch m := v.(type) {
	case *argusv1.PublishRequest:
		return valid(m.GetQueue(), m.GetRequestId()) && isTask(m.GetTask()) && isState(m.GetInitialState())
	case *argusv1.PublishBatchRequest:
		for _, t := range m.GetTasks() {
			if !isTask(t) {
				return false
			}
		}
		return valid(m.GetQueue(), m.GetRequestId()) && isState(m.GetInitialState())
	case *argusv1.ReadRequest:
		return valid(m.GetQueue(), m.GetGroup(), m.GetConsumer())
	case *argusv1.CompleteRequest:
		return isCompletion(m)
	case *argusv1.CompleteBatchRequest:
		for _, c := range m.GetRequests() {
			if !isCompletion(c) {
				return false
			}
		}
	case *argusv1.AckRequest:
		return valid(m.GetLeaseTokens()...)
	case *argusv1.ExtendLeaseRequest:
		return valid(m.GetLeaseToken()) && isMap(m.GetProgressFields())
	case *argusv1.ConsumeRequest:
		switch r := m.GetRequest().(type) {
		case *argusv1.ConsumeRequest_Start:
			return valid(r.Start.GetQueue(), r.Start.GetGroup(), r.Start.GetConsumer())
		case *argusv1.ConsumeRequest_Nack:
			return valid(r.Nack.GetLeaseToken(), r.Nack.GetReason())
		case *argusv1.ConsumeRequest_Ack:
			return isText(r.Ack)
		case *argusv1.ConsumeRequest_ExtendLease:
			return isText(r.ExtendLease)
		case *argusv1.ConsumeRequest_Complete:
			return isCompletion(r.Complete)
		case *argusv1.ConsumeRequest_CompleteBatch:
			return isText(r.CompleteBatch)
		}
	}
	return true
}

func isTask(t *argusv1.Task) bool {
	for name := range t.GetBinaryAttributes() {
		if !valid(name) {
			return false
		}
	}
	return valid(t.GetJobId(), t.GetReportId(), t.GetOrganizationId(), t.GetGcsUri(), t.GetPart()) &&
		valid(t.GetScanners()...) && isMap(t.GetAttributes())
}

func isState(s *argusv1.InitialState) bool { return isMap(s.GetFields()) && valid(s.GetParts()...) }

func isCompletion(c *argusv1.CompleteRequest) bool {
	return valid(c.GetLeaseToken(), c.GetErrorMessage(), c.GetPart()) && isMap(c.GetFields())
}

func isMap(m map[string]string) bool {
	for name, value := range m {
		if !valid(name, value) {
			return false
		}
	}
	return true
}

func valid(texts ...string) bool {
	for _, t := range texts {
		if !utf8.ValidString(t) {
			return false
		}
	}
	return true
}
