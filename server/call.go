package server

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// call is one call on its way through the interceptors.
type call struct {
	method  string
	request atomic.Value // the first request; a stream's receiving goroutine sets it
	cause   error        // what the handler returned, for the log
	log     *callLog
}

// newCall returns a call. request is nil before it is received.
func (l *callLog) newCall(method string, request any) *call {
	c := &call{method: method, log: l}
	if request != nil {
		c.request.Store(request)
	}
	return c
}

// refuse logs a call that fails before it reaches the interceptors and returns its status. The
// log has no method: before gRPC looks it up, it is arbitrary text of the client.
func (l *callLog) refuse(ctx context.Context, reason error) error {
	c := l.newCall("", nil)
	return logCall(ctx, c, func(ctx context.Context) error {
		return convertError(ctx, c, func(context.Context) error { return reason })
	})
}

// subject is what a call is about, for errors and logs.
type subject struct{ queue, jobID, messageID, consumer string }

// subject finds it in the request's fields or in its lease token.
func (c *call) subject() (s subject) {
	request := c.request.Load()
	if r, ok := request.(interface{ GetQueue() string }); ok {
		s.queue = r.GetQueue()
	}
	if r, ok := request.(interface{ GetJobId() string }); ok {
		s.jobID = r.GetJobId()
	}
	if r, ok := request.(interface{ GetConsumer() string }); ok {
		s.consumer = r.GetConsumer()
	}
	if r, ok := request.(interface{ GetLeaseToken() string }); ok && r.GetLeaseToken() != "" {
		if lease, err := job.ParseLease(r.GetLeaseToken()); err == nil {
			s = subject{lease.Queue, lease.JobID, lease.EntryID, lease.Consumer}
		}
	}
	return s
}

// each calls do with every value that is known. Values that are too long for a name are not
// valid names, and are left out.
func (s subject) each(do func(name, value string)) {
	for _, pair := range [][2]string{{"queue", s.queue}, {"job_id", s.jobID}, {"message_id", s.messageID}, {"consumer", s.consumer}} {
		if pair[1] != "" && len(pair[1]) <= job.MaxNameBytes {
			do(pair[0], pair[1])
		}
	}
}

func (s subject) metadata() map[string]string {
	m := make(map[string]string)
	s.each(func(name, value string) { m[name] = value })
	return m
}

func (s subject) attrs() []slog.Attr {
	var attrs []slog.Attr
	s.each(func(name, value string) { attrs = append(attrs, slog.String(name, value)) })
	return attrs
}
