package redis

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Publish puts a task into its queue: Broker.Publish.
func (s *Shards) Publish(ctx context.Context, r PublishRequest) (Published, bool, error) {
	i := s.home(r.PublishOptions, r.Task.JobID)
	if r.RequestID == "" {
		return s.brokers[i].Publish(ctx, r)
	}
	if err := r.check(); err != nil {
		return Published{}, false, err
	}
	claim, err := s.claim(ctx, r.publication(), taskField)
	if err != nil {
		return Published{}, false, err
	}
	p, deduplicated, err := s.brokers[i].Publish(ctx, r)
	if err != nil {
		claim.release(ctx, err)
	}
	return p, deduplicated, err
}

// home is the shard of a task to be published; what has no job id yet may lie anywhere, but
// where it lies must follow from the request id.
func (s *Shards) home(o PublishOptions, jobID string) int {
	switch {
	case jobID != "":
		return s.index(jobID)
	case o.RequestID != "":
		return s.index(o.RequestID)
	}
	return s.any()
}

// PublishBatch puts tasks into their queue. The tasks of one shard are published all or
// none; those without a job id lie in one shard together. When some shards refuse theirs,
// the error is ErrOutcomeUnknown, unless there is a request id, by which it can be repeated.
func (s *Shards) PublishBatch(ctx context.Context, r PublishBatchRequest) (all []Published, deduplicated bool, err error) {
	if err := r.check(); err != nil {
		return nil, false, err
	}
	claim, err := s.claim(ctx, r.publication(), batchField)
	if err != nil {
		return nil, false, err
	}
	spare := s.home(r.PublishOptions, "")
	parts, fresh := 0, make([]bool, len(s.brokers))
	shard := func(t Task) int {
		if t.JobID == "" {
			return spare
		}
		return s.index(t.JobID)
	}
	all, errs := scatter(s, r.Tasks, shard, func(i int, b *Broker, tasks []Task) ([]Published, error) {
		part := r
		part.Tasks = tasks
		published, deduplicated, err := b.PublishBatch(ctx, part)
		fresh[i] = !deduplicated && err == nil
		return published, err
	})
	for i := range s.brokers {
		if slices.ContainsFunc(r.Tasks, func(t Task) bool { return shard(t) == i }) {
			parts++
		}
	}
	failed := slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	switch {
	case len(failed) == 0:
		return all, !slices.Contains(fresh, true), nil
	case len(failed) < parts && r.RequestID == "":
		return nil, false, fmt.Errorf("publish: %w: some tasks were published, others not: %w", ErrOutcomeUnknown, failed[0])
	case len(failed) == parts:
		claim.release(ctx, failed...)
	}
	return nil, false, failed[0]
}

// InitState creates a job's state: Broker.InitState.
func (s *Shards) InitState(ctx context.Context, r InitRequest) (bool, error) {
	return s.of(r.JobID).InitState(ctx, r)
}

// SetState writes fields of a job's state: Broker.SetState.
func (s *Shards) SetState(ctx context.Context, jobID string, fields map[string]string, token string) error {
	if token != "" {
		return s.holder(token).SetState(ctx, jobID, fields, token)
	}
	return s.of(jobID).SetState(ctx, jobID, fields, "")
}

// State reads a job's state: Broker.State.
func (s *Shards) State(ctx context.Context, jobID string, names []string) (JobState, error) {
	return s.of(jobID).State(ctx, jobID, names)
}

// StateField reads one field of a job's state: Broker.StateField.
func (s *Shards) StateField(ctx context.Context, jobID, field string) (string, error) {
	return s.of(jobID).StateField(ctx, jobID, field)
}

// DeleteState removes a job's state: Broker.DeleteState.
func (s *Shards) DeleteState(ctx context.Context, jobID string) (bool, error) {
	return s.of(jobID).DeleteState(ctx, jobID)
}

// Report records an event for a worker without a lease: Broker.Report.
func (s *Shards) Report(ctx context.Context, jobID string, result Result) (Recorded, error) {
	return s.of(jobID).Report(ctx, jobID, result)
}

// Cancel cancels a job: Broker.Cancel.
func (s *Shards) Cancel(ctx context.Context, jobID, reason string) (Cancelled, error) {
	return s.of(jobID).Cancel(ctx, jobID, reason)
}

// Job finds out where a job is and why: Broker.Job.
func (s *Shards) Job(ctx context.Context, jobID string) (JobInfo, error) {
	return s.of(jobID).Job(ctx, jobID)
}

// WatchFrames starts to follow one job: Broker.WatchFrames.
func (s *Shards) WatchFrames(jobID string, options WatchOptions) (*Watches, error) {
	return s.of(jobID).WatchFrames(jobID, options)
}

// Await waits for a job's terminal event: Broker.Await.
func (s *Shards) Await(ctx context.Context, jobID string, wait time.Duration) (*Event, error) {
	return s.of(jobID).Await(ctx, jobID, wait)
}

// Watches makes one without jobs: Broker.Watches.
func (s *Shards) Watches() *Watches {
	w := s.brokers[0].Watches()
	w.of = s.of
	return w
}
