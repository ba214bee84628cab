package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
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

func TestConsume(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		for i := range 7 {
			b.publish(t, fmt.Sprint("job-", i))
		}
		c := b.consume(t, "w", 3)
		first := c.deliveries(3)
		c.silence() // that is all it may have
		// Each request gets its answer, and what it settles is made up for.
		c.complete(1, first[0].GetLeaseToken())
		answers := func(want int, n int) map[uint32]*argusv1.ConsumeResponse {
			t.Helper()
			got := make(map[uint32]*argusv1.ConsumeResponse)
			var more []*argusv1.Delivery
			for len(got) < want || len(more) < n {
				if r := c.next(); r.GetDeliveries() != nil {
					more = append(more, r.GetDeliveries().GetDeliveries()...)
				} else {
					got[r.GetId()] = r
				}
			}
			first = append(first, more...)
			return got
		}
		if r := answers(1, 1)[1]; r.GetComplete().GetCursor() == "" {
			t.Error(r)
		}
		c.send(&argusv1.ConsumeRequest{Id: 2, Request: &argusv1.ConsumeRequest_Ack{Ack: &argusv1.AckRequest{LeaseTokens: []string{first[1].GetLeaseToken(), "x"}}}})
		c.send(&argusv1.ConsumeRequest{Id: 3, Request: &argusv1.ConsumeRequest_Nack{Nack: &argusv1.NackRequest{LeaseToken: first[2].GetLeaseToken(), DeadLetter: true}}})
		got := answers(2, 2)
		if r := got[2].GetAck().GetResults(); len(r) != 2 || r[0].GetOutcome() != argusv1.AckOutcome_ACK_OUTCOME_ACKED || r[1].GetOutcome() != argusv1.AckOutcome_ACK_OUTCOME_INVALID {
			t.Error(got[2])
		}
		if r := got[3].GetNack(); r.GetOutcome() != argusv1.NackOutcome_NACK_OUTCOME_DEAD {
			t.Error(got[3])
		}
		c.send(&argusv1.ConsumeRequest{Id: 4, Request: &argusv1.ConsumeRequest_ExtendLease{ExtendLease: &argusv1.ExtendLeaseRequest{LeaseToken: first[3].GetLeaseToken()}}})
		c.complete(5, first[0].GetLeaseToken())
		c.complete(6, "x")
		c.complete(7, first[2].GetLeaseToken())
		got = answers(4, 0)
		if got[4].GetExtendLease().GetLeaseExpireTime() == nil || !got[5].GetComplete().GetAlreadyCompleted() {
			t.Error(got[4], got[5])
		}
		if f := got[6].GetFailure(); f.GetReason() != argusv1.ErrorReason_ERROR_REASON_LEASE_TOKEN_INVALID || f.GetMessage() == "" || f.GetRetryable() {
			t.Error(f)
		}
		if f := got[7].GetFailure(); f.GetReason() != argusv1.ErrorReason_ERROR_REASON_LEASE_LOST {
			t.Error(f)
		}
		// More, less, nothing.
		c.send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_SetMaxOutstanding{SetMaxOutstanding: 0}})
		c.complete(8, first[3].GetLeaseToken())
		answers(1, 0)
		c.silence()
		c.send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Heartbeat{}})
		c.send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_SetMaxOutstanding{SetMaxOutstanding: 3}})
		first = append(first, c.deliveries(1)...)
		// After the half-close nothing more is delivered, and what was sent is answered.
		c.complete(9, first[6].GetLeaseToken())
		if err := c.CloseSend(); err != nil {
			t.Fatal(err)
		}
		b.publish(t, "late")
		answered := false
		for {
			r, err := c.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || r.GetDeliveries() != nil {
				t.Fatal(r, err)
			}
			answered = answered || r.GetId() == 9 && r.GetComplete() != nil
		}
		if !answered {
			t.Error("the last request has no answer")
		}
		if d := b.readOne(t); d.GetTask().GetJobId() != "late" {
			t.Error(d)
		}
		// What it left counts when it comes back under its name.
		b.publish(t, "next")
		c = b.consume(t, "w", 2) // two of its leases are left, and "late"
		c.silence()
		c.complete(1, first[4].GetLeaseToken())
		c.complete(2, first[5].GetLeaseToken())
		answers(2, 1)
		if d := first[len(first)-1]; d.GetTask().GetJobId() != "next" {
			t.Error(d)
		}
	})
}

// A worker that waits and takes back its credit gets nothing more, and others do.
func TestConsumeTakesBackCredit(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		c := b.consume(t, "w", 5)
		c.silence() // it waits
		c.send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_SetMaxOutstanding{SetMaxOutstanding: 0}})
		c.complete(1, "x")
		if r := c.next(); r.GetId() != 1 { // so the frame before was taken
			t.Fatal(r)
		}
		b.publish(t, "one")
		if d := b.readOne(t); d.GetTask().GetJobId() != "one" {
			t.Error(d)
		}
		b.publish(t, "two")
		b.publish(t, "three")
		c.silence()
		c.send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_SetMaxOutstanding{SetMaxOutstanding: 1}})
		if d := c.deliveries(1); d[0].GetTask().GetJobId() != "two" || d[0].GetDeliveryAttempt() != 1 {
			t.Error(d)
		}
		c.silence()
	})
}

// The worker is told of cancelled jobs and lost leases, and gets others in their place.
func TestConsumeNotices(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		b.publish(t, "cancelled")
		b.publish(t, "stolen")
		c := b.consume(t, "w", 2)
		d := c.deliveries(2)
		if _, err := b.queue.Cancel(b.ctx, &argusv1.CancelRequest{JobId: "cancelled"}); err != nil {
			t.Fatal(err)
		}
		if n := c.next().GetCancelRequested(); n.GetJobId() != "cancelled" || n.GetLeaseToken() != d[0].GetLeaseToken() {
			t.Error(n)
		}
		if err := b.raw.Do(b.ctx, "XCLAIM", b.key("argus_task_queue"), "argus-workers", "thief", 0, d[1].GetMessageId()).Err(); err != nil {
			t.Fatal(err)
		}
		if n := c.next().GetLeaseLost(); n.GetJobId() != "stolen" || n.GetLeaseToken() != d[1].GetLeaseToken() {
			t.Error(n)
		}
		b.publish(t, "next")
		if d := c.deliveries(1); d[0].GetTask().GetJobId() != "next" {
			t.Error(d)
		}
	})
}

func TestConsumeErrors(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	start := func(s *argusv1.ConsumeStart) []*argusv1.ConsumeRequest {
		return []*argusv1.ConsumeRequest{{Request: &argusv1.ConsumeRequest_Start{Start: s}}}
	}
	good := &argusv1.ConsumeStart{Consumer: "w", MaxOutstanding: 1}
	for field, requests := range map[string][]*argusv1.ConsumeRequest{
		"start":                    {{Request: &argusv1.ConsumeRequest_Heartbeat{}}},
		"start.max_outstanding":    start(&argusv1.ConsumeStart{Consumer: "w"}),
		"start.max_outstanding ":   start(&argusv1.ConsumeStart{Consumer: "w", MaxOutstanding: 1001}),
		"start.consumer":           start(&argusv1.ConsumeStart{MaxOutstanding: 1}),
		"start.group":              start(&argusv1.ConsumeStart{Consumer: "w", MaxOutstanding: 1, Group: "{"}),
		"start.queue":              start(&argusv1.ConsumeStart{Consumer: "w", MaxOutstanding: 1, Queue: "{"}),
		"start.heartbeat_interval": start(&argusv1.ConsumeStart{Consumer: "w", MaxOutstanding: 1, HeartbeatInterval: durationpb.New(1)}),
		"request":                  append(start(good), start(good)...),
		"request ":                 append(start(good), &argusv1.ConsumeRequest{}),
		"set_max_outstanding":      append(start(good), &argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_SetMaxOutstanding{SetMaxOutstanding: -1}}),
	} {
		t.Run(field, func(t *testing.T) {
			s, err := b.queue.Consume(b.ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range requests {
				if err := s.Send(r); err != nil {
					t.Fatal(err)
				}
			}
			_, err = s.Recv()
			w := expect(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
			if len(w.fields) != 1 || w.fields[0] != strings.TrimSpace(field) {
				t.Errorf("fields %q, want %q", w.fields, field)
			}
		})
	}
	// An error of the store that lasts is told at once.
	b.raw.Set(b.ctx, b.key("wrong"), "x", 0)
	s, err := b.queue.Consume(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(start(&argusv1.ConsumeStart{Queue: "wrong", Consumer: "w", MaxOutstanding: 1})[0]); err != nil {
		t.Fatal(err)
	}
	_, err = s.Recv()
	expect(t, err, codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_KEY_TYPE_CONFLICT)
	c := b.consume(t, "w", 1)
	c.silence()
	b.raw.Del(b.ctx, b.key("argus_task_queue"))
	b.raw.Set(b.ctx, b.key("argus_task_queue"), "x", 0)
	for {
		if _, err := c.Recv(); err != nil {
			expect(t, err, codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_KEY_TYPE_CONFLICT)
			break
		}
	}
	b.raw.Del(b.ctx, b.key("argus_task_queue"))
	c = b.consume(t, "w", 1)
	c.silence()
	b.shutdown()
	for {
		if _, err := c.Recv(); err != nil {
			expect(t, err, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_SERVER_SHUTTING_DOWN)
			break
		}
	}
}

// Workers that come and go work off everything, none has more than its share, and a task
// that was on its way to one that left is given to another at once.
func TestConsumeUnderChurn(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setupWith(t, e, redis.BrokerConfig{Queue: redis.QueueConfig{Lease: 500 * time.Millisecond, MaxCrashes: 1000}})
		const jobs, workers, max = 400, 4, 8
		keys := make([]string, jobs)
		for i := range keys {
			keys[i] = b.key(fmt.Sprint("argus_completion:job-", i))
		}
		ctx, cancel := context.WithCancel(b.ctx)
		var all sync.WaitGroup
		for i := range workers {
			all.Go(func() {
				for ctx.Err() == nil {
					b.churn(ctx, t, fmt.Sprint("w", i), max)
				}
			})
		}
		for i := range jobs {
			b.publish(t, fmt.Sprint("job-", i))
		}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for b.raw.Exists(b.ctx, keys...).Val() < jobs {
			select {
			case <-tick.C:
			case <-b.ctx.Done():
				t.Fatal("not all jobs were done")
			}
		}
		cancel()
		all.Wait()
		for _, key := range keys {
			if n := b.raw.XLen(b.ctx, key).Val(); n != 1 {
				t.Errorf("%s has %d results", key, n)
			}
		}
	})
}

// churn works on one stream until it leaves: in an orderly way, or by breaking it off.
func (b *bundle) churn(ctx context.Context, t *testing.T, name string, max int32) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := b.queue.Consume(ctx)
	if err != nil {
		return
	}
	_ = s.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Start{Start: &argusv1.ConsumeStart{Consumer: name, MaxOutstanding: max}}})
	left, has := 20+rand.IntN(40), make(map[string]bool)
	for {
		r, err := s.Recv()
		if err != nil {
			return
		}
		for _, d := range r.GetDeliveries().GetDeliveries() {
			if has[d.GetLeaseToken()] = true; len(has) > int(max) {
				t.Errorf("%d tasks are outstanding, at most %d may be", len(has), max)
			}
			switch left--; {
			case left > 0:
				delete(has, d.GetLeaseToken()) // it may be made up for before its answer comes
				_ = s.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Complete{
					Complete: &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: completed}}})
			case rand.IntN(2) == 0:
				cancel()
			default:
				_ = s.CloseSend()
			}
		}
	}
}

// A frame with many results is answered by one with as many outcomes, and each that is
// settled gives its credit back.
func TestConsumeCompletesBatches(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		for i := range 9 {
			b.publish(t, fmt.Sprint("job-", i))
		}
		c := b.consume(t, "w", 4)
		first := c.deliveries(4)
		batch := &argusv1.CompleteBatchRequest{}
		for _, d := range first[:3] {
			batch.Requests = append(batch.Requests, &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: completed})
		}
		batch.Requests = append(batch.Requests, &argusv1.CompleteRequest{LeaseToken: "bad", Status: completed},
			&argusv1.CompleteRequest{LeaseToken: first[3].GetLeaseToken()})
		c.send(&argusv1.ConsumeRequest{Id: 7, Request: &argusv1.ConsumeRequest_CompleteBatch{CompleteBatch: batch}})
		var outcomes []*argusv1.CompleteOutcome
		var more []*argusv1.Delivery
		for outcomes == nil || len(more) < 3 {
			r := c.next()
			if r.GetCompleteBatch() != nil {
				if outcomes = r.GetCompleteBatch().GetOutcomes(); r.GetId() != 7 || len(outcomes) != 5 {
					t.Fatal(r)
				}
				continue
			}
			more = append(more, r.GetDeliveries().GetDeliveries()...)
		}
		c.silence() // the fourth was not settled
		for i, o := range outcomes {
			reason := argusv1.ErrorReason_ERROR_REASON_UNSPECIFIED
			switch i {
			case 3:
				reason = argusv1.ErrorReason_ERROR_REASON_LEASE_TOKEN_INVALID
			case 4:
				reason = argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT
			}
			if o.GetFailure().GetReason() != reason || (o.GetComplete().GetCursor() == "") != (i > 2) {
				t.Errorf("%d: %v", i, o)
			}
		}
		c.send(&argusv1.ConsumeRequest{Id: 8, Request: &argusv1.ConsumeRequest_CompleteBatch{CompleteBatch: &argusv1.CompleteBatchRequest{}}})
		if r := c.next(); r.GetId() != 8 || r.GetFailure().GetReason() != argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT {
			t.Error(r)
		}
		// The unary call does the same.
		r, err := b.queue.CompleteBatch(b.ctx, &argusv1.CompleteBatchRequest{Requests: []*argusv1.CompleteRequest{
			{LeaseToken: first[3].GetLeaseToken(), Status: completed}, {LeaseToken: first[0].GetLeaseToken(), Status: completed}}})
		if err != nil || r.GetOutcomes()[0].GetComplete().GetCursor() == "" || !r.GetOutcomes()[1].GetComplete().GetAlreadyCompleted() {
			t.Error(r, err)
		}
		_, err = b.queue.CompleteBatch(b.ctx, &argusv1.CompleteBatchRequest{})
		expect(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
	})
}

func TestPublishBatchInitialState(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		r := &argusv1.PublishBatchRequest{Tasks: []*argusv1.Task{{JobId: "a"}, {JobId: "b"}}, InitialState: &argusv1.InitialState{Fields: map[string]string{"x": "y"}}}
		if _, err := b.queue.PublishBatch(b.ctx, r); err != nil {
			t.Fatal(err)
		}
		state, err := b.state.GetAll(b.ctx, &argusv1.GetAllRequest{JobId: "b"})
		if err != nil || state.GetFields()["x"] != "y" || state.GetStatus() != argusv1.JobStatus_JOB_STATUS_PENDING {
			t.Error(state, err)
		}
		_, err = b.queue.PublishBatch(b.ctx, &argusv1.PublishBatchRequest{Tasks: []*argusv1.Task{{JobId: "c"}, {JobId: "b"}}, InitialState: r.GetInitialState()})
		if w := expect(t, err, codes.AlreadyExists, argusv1.ErrorReason_ERROR_REASON_JOB_ALREADY_EXISTS); w.metadata["job_id"] != "b" {
			t.Error(w)
		}
		r.InitialState.Ttl = durationpb.New(-time.Second)
		_, err = b.queue.PublishBatch(b.ctx, r)
		expect(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
	})
}

// What a worker settles by calls of their own gives the credit of its stream back as well.
func TestConsumeWithUnaryCalls(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		const count = 400 // by the audit alone it would take minutes
		for i := range count {
			b.publish(t, fmt.Sprint("job-", i))
		}
		c := b.consume(t, "w", 1)
		for i := range count {
			token := c.deliveries(1)[0].GetLeaseToken()
			var err error
			switch i % 4 {
			case 0:
				_, err = b.queue.Ack(b.ctx, &argusv1.AckRequest{LeaseTokens: []string{token}})
			case 1:
				_, err = b.queue.Nack(b.ctx, &argusv1.NackRequest{LeaseToken: token, DeadLetter: true})
			case 2:
				_, err = b.queue.Complete(b.ctx, &argusv1.CompleteRequest{LeaseToken: token, Status: completed})
			case 3:
				_, err = b.queue.CompleteBatch(b.ctx, &argusv1.CompleteBatchRequest{Requests: []*argusv1.CompleteRequest{{LeaseToken: token, Status: completed}}})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}
