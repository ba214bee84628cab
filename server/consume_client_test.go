package server_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// stream is the worker's end of a Consume stream.
type stream struct {
	argusv1.TaskQueue_ConsumeClient
	t *testing.T
}

func (b *bundle) consume(t *testing.T, consumer string, max int32) *stream {
	t.Helper()
	s, err := b.queue.Consume(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	c := &stream{s, t}
	c.send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Start{Start: &argusv1.ConsumeStart{
		Consumer: consumer, MaxOutstanding: max, HeartbeatInterval: durationpb.New(50 * time.Millisecond)}}})
	return c
}

func (c *stream) send(r *argusv1.ConsumeRequest) {
	c.t.Helper()
	if err := c.Send(r); err != nil {
		c.t.Fatal(err)
	}
}

func (c *stream) complete(id uint32, token string) {
	c.t.Helper()
	c.send(&argusv1.ConsumeRequest{Id: id, Request: &argusv1.ConsumeRequest_Complete{
		Complete: &argusv1.CompleteRequest{LeaseToken: token, Status: completed}}})
}

// next returns the next frame that is not a heartbeat.
func (c *stream) next() *argusv1.ConsumeResponse {
	c.t.Helper()
	for {
		r, err := c.Recv()
		if err != nil {
			c.t.Fatal(err)
		}
		if r.GetHeartbeat() == nil {
			return r
		}
	}
}

// deliveries waits for n deliveries. Any other frame fails the test.
func (c *stream) deliveries(n int) []*argusv1.Delivery {
	c.t.Helper()
	var all []*argusv1.Delivery
	for len(all) < n {
		r := c.next()
		if r.GetDeliveries() == nil {
			c.t.Fatalf("received %v, want deliveries", r)
		}
		all = append(all, r.GetDeliveries().GetDeliveries()...)
	}
	if len(all) != n {
		c.t.Fatalf("received %d deliveries, want %d", len(all), n)
	}
	return all
}

// silence checks that nothing but heartbeats arrives.
func (c *stream) silence() {
	c.t.Helper()
	for range 3 {
		if r, err := c.Recv(); err != nil || r.GetHeartbeat() == nil {
			c.t.Fatalf("received %v, %v; want nothing but heartbeats", r, err)
		}
	}
}

func (c *stream) ack(id uint32, tokens ...string) {
	c.t.Helper()
	c.send(&argusv1.ConsumeRequest{Id: id, Request: &argusv1.ConsumeRequest_Ack{Ack: &argusv1.AckRequest{LeaseTokens: tokens}}})
}

func (c *stream) deadLetter(id uint32, token string) {
	c.t.Helper()
	c.send(&argusv1.ConsumeRequest{Id: id, Request: &argusv1.ConsumeRequest_Nack{Nack: &argusv1.NackRequest{LeaseToken: token, DeadLetter: true}}})
}

func (c *stream) extend(id uint32, token string) {
	c.t.Helper()
	c.send(&argusv1.ConsumeRequest{Id: id, Request: &argusv1.ConsumeRequest_ExtendLease{ExtendLease: &argusv1.ExtendLeaseRequest{LeaseToken: token}}})
}

func (c *stream) setMaxOutstanding(n int32) {
	c.t.Helper()
	c.send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_SetMaxOutstanding{SetMaxOutstanding: n}})
}

// responses waits for a number of responses, by request id, and of deliveries, in any order.
func (c *stream) responses(want, deliveries int) (map[uint32]*argusv1.ConsumeResponse, []*argusv1.Delivery) {
	c.t.Helper()
	got := make(map[uint32]*argusv1.ConsumeResponse)
	var delivered []*argusv1.Delivery
	for len(got) < want || len(delivered) < deliveries {
		if r := c.next(); r.GetDeliveries() != nil {
			delivered = append(delivered, r.GetDeliveries().GetDeliveries()...)
		} else {
			got[r.GetId()] = r
		}
	}
	return got, delivered
}

// awaitEnd waits for the end of a half-closed stream, and returns its last frames.
func (c *stream) awaitEnd() (last []*argusv1.ConsumeResponse) {
	c.t.Helper()
	for {
		r, err := c.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return last
		case err != nil:
			c.t.Fatal(err)
		case r.GetHeartbeat() == nil:
			last = append(last, r)
		}
	}
}
