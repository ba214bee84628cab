package server_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// stream is a Consume stream as a worker has it.
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

// next is the next frame that is no heartbeat.
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

// deliveries waits for n deliveries, and for nothing else.
func (c *stream) deliveries(n int) []*argusv1.Delivery {
	c.t.Helper()
	var all []*argusv1.Delivery
	for len(all) < n {
		r := c.next()
		if r.GetDeliveries() == nil {
			c.t.Fatal("want deliveries:", r)
		}
		all = append(all, r.GetDeliveries().GetDeliveries()...)
	}
	if len(all) != n {
		c.t.Fatal(len(all), "deliveries, want", n)
	}
	return all
}

// silence checks that there is nothing but heartbeats.
func (c *stream) silence() {
	c.t.Helper()
	for range 3 {
		if r, err := c.Recv(); err != nil || r.GetHeartbeat() == nil {
			c.t.Fatal("want silence:", r, err)
		}
	}
}
