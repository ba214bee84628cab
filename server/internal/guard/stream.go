package guard

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc"
)

// boundedStream bounds how long the sends and receives of a stream block: not beyond the end of
// its context, and a send only while the client reads.
type boundedStream struct {
	grpc.ServerStream
	guard  *Guard
	method string
	// interruptible is set if the handler blocks in receives for further requests of the client.
	interruptible bool
	arrived       bool         // the first request has arrived
	progress      atomic.Int64 // counts the chunks of large messages that were sent
}

func (s *boundedStream) RecvMsg(message any) error {
	err := s.receive(message)
	if err == nil && !s.arrived {
		s.arrived = true
		requestArrived(s.Context())
	}
	return err
}

// receive waits for a message. When the context ends, the receive continues in the background and
// ends with the stream, which is as soon as the handler returns.
func (s *boundedStream) receive(message any) error {
	if !s.interruptible {
		return s.ServerStream.RecvMsg(message)
	}
	ctx, received := s.Context(), make(chan error, 1)
	go func() { received <- s.ServerStream.RecvMsg(message) }()
	select {
	case err := <-received:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// SendMsg sends a message. It fails with ErrSlowReader when the client reads nothing for the
// send time-out, and with the context's cause when the context ends. The send itself then ends
// with the stream.
func (s *boundedStream) SendMsg(message any) error {
	ctx := s.Context()
	r, err := s.guard.reserveFor(ctx, s.method)
	if err == nil {
		message, err = s.guard.prepare(ctx, message, r, &s.progress)
	}
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() { sent <- s.ServerStream.SendMsg(message) }()
	return waitWhileProgressing(ctx, sent, &s.progress, s.guard.config.Timeouts.Send)
}
