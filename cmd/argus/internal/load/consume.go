package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

func consume(ctx context.Context, r *run) error {
	meters := r.newMeters(r.workers)
	// No deadline: the server would know it, and could end the streams first.
	working, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(r.duration, cancel).Stop()
	start := time.Now()
	last := atomic.Int64{}
	err := r.consume(working, observer{answered: func(worker, n int, took time.Duration) {
		meters[worker].add(n, took)
		last.Store(int64(time.Since(start)))
	}})
	if r.took = time.Duration(last.Load()); r.took == 0 { // the queue was empty
		r.took = time.Since(start)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// observer gets what streams do; either function may be nil.
type observer struct {
	// delivered gets the times at which the tasks of a frame were published.
	delivered func(worker int, published []time.Time)
	// answered gets how long the answer to a frame of n results took.
	answered func(worker, n int, took time.Duration)
}

// consume works tasks off on streams until ctx ends.
func (r *run) consume(ctx context.Context, o observer) error {
	var all errgroup.Group
	for i := range r.workers {
		all.Go(func() error {
			s, err := r.openStream(ctx, i, o)
			if err != nil {
				return err
			}
			return s.work()
		})
	}
	if err := all.Wait(); ctx.Err() == nil {
		return err
	}
	return nil // the end of ctx may break a stream at any point
}

// stream is a worker on a stream.
type stream struct {
	grpc.BidiStreamingClient[argusv1.ConsumeRequest, argusv1.ConsumeResponse]
	observer
	worker int
	sent   map[uint32]time.Time // by the id of a frame without an answer yet
}

func (r *run) openStream(ctx context.Context, worker int, o observer) (*stream, error) {
	consumer, err := argusv1.NewTaskQueueClient(r.conn(worker)).Consume(ctx)
	if err != nil {
		return nil, err
	}
	start := &argusv1.ConsumeStart{Queue: r.queue, Consumer: fmt.Sprint("bench-", uuid.NewString()[:8], "-", worker), MaxOutstanding: int32(r.maxOutstanding)}
	err = consumer.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Start{Start: start}})
	return &stream{BidiStreamingClient: consumer, observer: o, worker: worker, sent: make(map[uint32]time.Time)}, err
}

// work completes the tasks of each frame, until the stream ends.
func (s *stream) work() error {
	for id := uint32(1); ; id++ {
		response, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if failure := response.GetFailure(); failure != nil {
			return errors.New(failure.GetMessage())
		}
		s.observeAnswer(response)
		if deliveries := response.GetDeliveries().GetDeliveries(); len(deliveries) > 0 {
			if err := s.complete(id, deliveries); err != nil {
				return err
			}
		}
	}
}

func (s *stream) observeAnswer(r *argusv1.ConsumeResponse) {
	at, ok := s.sent[r.GetId()]
	if !ok {
		return
	}
	delete(s.sent, r.GetId())
	if s.answered != nil {
		s.answered(s.worker, len(r.GetCompleteBatch().GetOutcomes()), time.Since(at))
	}
}

// complete sends a frame with the results of tasks.
func (s *stream) complete(id uint32, deliveries []*argusv1.Delivery) error {
	results := &argusv1.CompleteBatchRequest{}
	published := make([]time.Time, 0, len(deliveries))
	for _, d := range deliveries {
		results.Requests = append(results.Requests, &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: argusv1.JobStatus_JOB_STATUS_COMPLETED})
		if at, ok := parseStamp(d.GetTask().GetAttributes()[timeAttribute]); ok {
			published = append(published, at)
		}
	}
	if s.delivered != nil {
		s.delivered(s.worker, published)
	}
	s.sent[id] = time.Now()
	return s.Send(&argusv1.ConsumeRequest{Id: id, Request: &argusv1.ConsumeRequest_CompleteBatch{CompleteBatch: results}})
}
