package server

import (
	"context"
	"time"

	"github.com/hikmaai-io/argus-queue/redis"
)

// Broker does the work of the services: a *redis.Broker, or *redis.Shards. Its methods are
// documented there.
type Broker interface {
	Ping(ctx context.Context) error

	Publish(ctx context.Context, r redis.PublishRequest) (p redis.Published, deduplicated bool, err error)
	PublishBatch(ctx context.Context, r redis.PublishBatchRequest) (p []redis.Published, deduplicated bool, err error)
	Read(ctx context.Context, r redis.ReadRequest) ([]redis.Delivery, error)
	Release(ctx context.Context, deliveries []redis.Delivery)
	Held(ctx context.Context, queue, group, consumer string) (redis.Holding, error)
	Ack(ctx context.Context, tokens []string) ([]redis.AckResult, error)
	Nack(ctx context.Context, r redis.NackRequest) (redis.Nacked, error)
	Extend(ctx context.Context, token string, fields map[string]string) (redis.Extended, error)
	Complete(ctx context.Context, token string, result redis.Result) (redis.Recorded, error)
	CompleteBatch(ctx context.Context, all []redis.Completion) ([]redis.Outcome, error)
	Cancel(ctx context.Context, jobID, reason string) (redis.Cancelled, error)
	Cancellations() *redis.Cancellations
	CancelledAmong(ctx context.Context, jobs []string) ([]string, error)

	InitState(ctx context.Context, r redis.InitRequest) (created bool, err error)
	SetState(ctx context.Context, jobID string, fields map[string]string, token string) error
	State(ctx context.Context, jobID string, names []string) (redis.JobState, error)
	StateField(ctx context.Context, jobID, field string) (string, error)
	DeleteState(ctx context.Context, jobID string) (bool, error)
	ListJobs(ctx context.Context, after string, count int) (jobs []redis.JobSummary, next string, err error)

	Report(ctx context.Context, jobID string, result redis.Result) (redis.Recorded, error)
	Await(ctx context.Context, jobID string, wait time.Duration) (*redis.Event, error)
	WatchFrames(jobID string, options redis.WatchOptions) (*redis.Watches, error)
	Watches() *redis.Watches

	Job(ctx context.Context, jobID string) (redis.JobInfo, error)
	Queues(ctx context.Context, after string, count int) (queues []redis.QueueInfo, next string, err error)
	Queue(ctx context.Context, name string) (redis.QueueInfo, error)
	Consumers(ctx context.Context, queue, group string) ([]redis.ConsumerInfo, error)
	Pending(ctx context.Context, queue, group, after string, count int) ([]redis.PendingInfo, error)
	Tasks(ctx context.Context, l redis.TaskList) (tasks []redis.ListedTask, next string, err error)
	DeadLetters(ctx context.Context, queue, after string, count int) ([]redis.DeadLetter, error)
	Redrive(ctx context.Context, queue string, all bool, ids []string) (int, error)
	DeleteDeadLetters(ctx context.Context, queue string, all bool, ids []string) (int, error)
	Purge(ctx context.Context, queue string) (redis.Purged, error)
	CreateGroup(ctx context.Context, queue, group string) (created bool, err error)
	DeleteGroup(ctx context.Context, queue, group string, force bool) error
	Pause(ctx context.Context, queue string) error
	Resume(ctx context.Context, queue string) error
}

var _, _ Broker = (*redis.Broker)(nil), (*redis.Shards)(nil)
