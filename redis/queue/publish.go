package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/watch"

	"github.com/google/uuid"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Publisher publishes tasks.
type Publisher struct {
	*conn.Shard
	waiters   *Waitlists
	watches   *watch.Subscriptions
	registry  *Registry
	reader    *Reader
	marks     *UniqueMarks
	scheduler *Scheduler
}

// NewPublisher returns a publisher.
func NewPublisher(shard *conn.Shard, waiters *Waitlists, watches *watch.Subscriptions, registry *Registry, reader *Reader, marks *UniqueMarks, scheduler *Scheduler) *Publisher {
	return &Publisher{shard, waiters, watches, registry, reader, marks, scheduler}
}

// PublishOptions are the same for one task and for a batch.
type PublishOptions struct {
	Queue     string // "" for the default queue
	RequestID string // "" for no deduplication
}

// PublishRequest is a task to be queued.
type PublishRequest struct {
	PublishOptions
	// Task may lack a job id: then one is made.
	Task job.Task
	// Delay or RunAt delay the delivery; not both.
	Delay time.Duration
	RunAt time.Time
	// State, if not nil, is created in the same step; ErrJobExists when there is one.
	State *job.InitialState
}

// PublishBatchRequest are tasks to be queued, all or none.
type PublishBatchRequest struct {
	PublishOptions
	Tasks []job.Task
	// State, if not nil, is created for the job of each task, in the same step;
	// ErrJobExists when one of them has a state.
	State *job.InitialState
}

// Published says where a task is.
type Published struct {
	EntryID string // "" while the task is delayed, or waits for its turn in a fair queue
	JobID   string
}

// Publish puts a task into its queue. deduplicated: it was there from an earlier call
// with the same request id. Errors: ErrInvalid, ErrRequestIDConflict, ErrJobExists;
// ErrOutcomeUnknown when the connection broke and there is no request id.
func (pub *Publisher) Publish(ctx context.Context, r PublishRequest) (p Published, deduplicated bool, err error) {
	if err := r.Check(); err != nil {
		return p, false, err
	}
	all, deduplicated, err := pub.publish(ctx, r.Publication(), TaskField)
	if err != nil {
		return p, false, err
	}
	return all[0], deduplicated, nil
}

func (r PublishRequest) Check() error {
	if err := checkSchedule(r.Delay, r.RunAt); err != nil {
		return err
	}
	if r.State != nil {
		return r.State.Check()
	}
	return nil
}

func (r PublishRequest) Publication() Publication {
	return Publication{PublishOptions: r.PublishOptions, Tasks: []job.Task{r.Task}, Delay: r.Delay, RunAt: r.RunAt, State: r.State}
}

func TaskField(int) string { return "task" }

// PublishBatch puts tasks into their queue, all or none, in their order.
func (pub *Publisher) PublishBatch(ctx context.Context, r PublishBatchRequest) (p []Published, deduplicated bool, err error) {
	if err := r.Check(); err != nil {
		return nil, false, err
	}
	return pub.publish(ctx, r.Publication(), BatchField)
}

func (r PublishBatchRequest) Check() error {
	if len(r.Tasks) == 0 || len(r.Tasks) > job.MaxBatch {
		return job.Invalid("tasks", "has %d entries, want 1 to %d", len(r.Tasks), job.MaxBatch)
	}
	if r.State != nil {
		return r.State.Check()
	}
	return nil
}

func (r PublishBatchRequest) Publication() Publication {
	return Publication{PublishOptions: r.PublishOptions, Tasks: r.Tasks, State: r.State}
}

func BatchField(i int) string { return fmt.Sprintf("tasks[%d]", i) }

// Publication is what a request id stands for.
type Publication struct {
	PublishOptions
	Tasks []job.Task
	Delay time.Duration
	RunAt time.Time
	State *job.InitialState
}

func (pub *Publisher) publish(ctx context.Context, p Publication, field func(int) string) ([]Published, bool, error) {
	queue, err := pub.QueueName(p.Queue)
	if err != nil {
		return nil, false, err
	}
	digest, unknown := "", conn.Once
	if p.RequestID != "" {
		if err := job.CheckID("request_id", p.RequestID); err != nil {
			return nil, false, err
		}
	}
	config := pub.QueueSettings(queue)
	entries, err := pub.Entries(p.Tasks, config, p.State != nil, field)
	if err != nil {
		return nil, false, err
	}
	isDue := pub.registry.Known.Grouped.Due(queue)
	if !isDue && p.RequestID == "" && p.Delay == 0 && p.RunAt.IsZero() && config.IsPlain() {
		switch {
		case p.State == nil:
			published, hasStream, err := pub.publishPlain(ctx, queue, entries)
			if hasStream || err != nil {
				return published, false, err
			}
		case len(entries) == 1 && len(p.State.Parts) == 0:
			published, hasStream, err := pub.publishShared(ctx, queue, entries[0], p.State)
			if hasStream || err != nil {
				return published, false, err
			}
		}
	}
	if p.RequestID != "" {
		p.Queue = queue
		digest, unknown = p.Digests(), conn.Repeatable
	}
	keys := []string{pub.Keys.Tasks(queue), pub.Keys.Delayed(queue), pub.Keys.DelayedQueues(), pub.Keys.Request(queue, p.RequestID), pub.Keys.OldRequest(p.RequestID),
		pub.Keys.CreatedGroups(queue), pub.Keys.GroupBegins(queue), pub.Keys.Queues()}
	for _, entry := range entries {
		if p.State != nil {
			keys = append(keys, pub.Keys.State(entry.jobID))
		}
		if p.State != nil && len(p.State.Parts) > 0 {
			keys = append(keys, pub.Keys.Parts(entry.jobID))
		}
		if config.UniqueJobs {
			keys = append(keys, pub.Keys.Active(entry.jobID), pub.Keys.Completion(entry.jobID))
		}
	}
	fairKeys, fairness := pub.Fair(queue)
	keys = append(keys, fairKeys...)
	reply, err := pub.runPublish(ctx, config, unknown, keys, p.args(pub.Settings, config, queue, digest, fairness, config.Groups.ScriptArg(isDue)), entries)
	if err != nil || reply[0] != "OK" { // nothing was looked at
		pub.registry.Known.Grouped.Forget(queue)
	}
	if err != nil {
		return nil, false, err
	}
	switch reply[0] {
	case "CONFLICT":
		return nil, false, job.ErrRequestIDConflict
	case "EXISTS":
		n, err := resp.Number(reply[1])
		if err != nil || n < 1 || n > int64(len(entries)) {
			return nil, false, fmt.Errorf("publish: unexpected reply %q", reply)
		}
		return nil, false, &job.JobError{JobID: entries[n-1].jobID, Err: job.ErrJobExists}
	case "FULL":
		return nil, false, job.ErrQueueFull
	case "QUEUES":
		return nil, false, job.ErrTooManyQueues
	}
	published := make([]Published, len(entries))
	for i := range published {
		switch {
		case reply[0] != "DUPLICATE" && len(reply) == 1+len(entries):
			published[i] = Published{EntryID: reply[1+i], JobID: entries[i].jobID}
		case reply[0] == "DUPLICATE" && len(reply) == 1+2*len(entries):
			published[i] = Published{EntryID: reply[1+2*i], JobID: reply[2+2*i]}
		default:
			return nil, false, fmt.Errorf("publish: unexpected reply of %d words", len(reply))
		}
	}
	if p.State != nil {
		for i := range entries {
			pub.watches.StateWritten(entries[i].jobID)
		}
	}
	switch {
	case p.Delay > 0 || !p.RunAt.IsZero():
		pub.scheduler.due.set(max(p.Delay, time.Until(p.RunAt)))
	case fairness != "":
		pub.waiters.NotifyEach(keys[0], len(published))
		pub.scheduler.due.set(fairPeriod)
	default:
		pub.waiters.NotifyNew(keys[0], published[len(published)-1].EntryID, len(published))
	}
	return published, reply[0] == "DUPLICATE", nil
}

// runPublish runs the script. A mark that a job is active may be of a task that a raw worker
// has settled by now: then the script runs again with that mark as out of date.
func (p *Publisher) runPublish(ctx context.Context, config job.QueueSettings, e conn.Effect, keys, head []string, entries []newEntry) ([]string, error) {
	isNamed := head[9] != ""
	var stale map[string]string
	for {
		args := append(make(resp.Command, 0, len(head)+len(entries)*(len(entries[0].fields)+8)), head...)
		for _, entry := range entries {
			if isNamed {
				args.Add(entry.jobID, uuid.NewString(), stale[entry.jobID])
			}
			args.Counted(entry.fields...)
		}
		script := conn.PublishScript
		if head[8] != "" {
			script = conn.FairPublishScript
		}
		r, err := script.SendDurably(ctx, p.Conn, e, config, keys, args)
		if err != nil {
			return nil, err
		}
		reply := r.Words()
		if err := conn.Translate("publish", r.Err, e); err != nil || len(reply) == 0 || reply[0] != "ACTIVE" {
			return reply, err
		}
		for pair := range slices.Chunk(reply[1:], 2) {
			jobID, mark := pair[0], pair[1]
			isStale, err := p.marks.IsStale(ctx, jobID, mark)
			if err != nil {
				return nil, err
			}
			if !isStale || stale[jobID] == mark {
				return nil, &job.JobError{JobID: jobID, Err: job.ErrJobActive}
			}
			job.SetLazily(&stale, jobID, mark)
		}
	}
}

// args are the script's arguments before the entries.
func (p Publication) args(config job.Settings, q job.QueueSettings, queue, digest, fairness, ensure string) resp.Command {
	delay, runAt, most, uniqueTTL, ttl := "", "", "", "", ""
	if p.Delay > 0 {
		delay = fmt.Sprint(p.Delay.Milliseconds())
	}
	if !p.RunAt.IsZero() {
		runAt = fmt.Sprint(p.RunAt.UnixMilli())
	}
	if q.MaxLength > 0 {
		most = fmt.Sprint(q.MaxLength)
	}
	if q.UniqueJobs {
		uniqueTTL = fmt.Sprint((config.UnfinishedTTL() + max(p.Delay, time.Until(p.RunAt), 0)).Milliseconds())
	}
	parts, partsTTL := "", config.UnfinishedTTL()+max(p.Delay, time.Until(p.RunAt), 0)
	var state []string
	if p.State != nil {
		parts = strings.Join(p.State.Parts, " ")
		ttl = fmt.Sprint(cmp.Or(p.State.TTL, config.StateTTL).Milliseconds())
		state = p.State.Flat()
	}
	named := ""
	if digest != "" || delay != "" || runAt != "" || uniqueTTL != "" {
		named = "named"
	}
	args := resp.Command{digest, fmt.Sprint(config.RequestWindow.Milliseconds()), delay, runAt, queue, most, uniqueTTL, ttl, fairness, named,
		config.DefaultGroup, ensure, config.QueueLimit(queue), parts, strconv.FormatInt(partsTTL.Milliseconds(), 10)}
	args.Counted(state...)
	return args
}

// newEntry is a task as the script takes it.
type newEntry struct {
	jobID  string
	fields []string
}

// Entries encodes tasks. Where each job gets something of its own, they must be of
// different jobs.
func (p *Publisher) Entries(tasks []job.Task, q job.QueueSettings, hasState bool, field func(int) string) ([]newEntry, error) {
	now := time.Now()
	entries := make([]newEntry, len(tasks))
	jobs := make(map[string]bool)
	for i, task := range tasks {
		if task.JobID == "" {
			task.JobID = p.NewJobID()
		}
		if task.CreatedAt.IsZero() {
			task.CreatedAt = now
		}
		if err := task.Check(); err != nil {
			return nil, job.PrefixField(err, field(i))
		}
		if q.UniqueJobs || hasState {
			if jobs[task.JobID] {
				problem := "is another task's too, and this queue wants one task of a job"
				if hasState {
					problem = "is another task's too, and a job's state is created once; create it with the first of them"
				}
				return nil, job.Invalid(field(i)+".job_id", "%s", problem)
			}
			jobs[task.JobID] = true
		}
		entries[i] = newEntry{jobID: task.JobID, fields: job.EncodeTask(task, q.Encoding, q.JSONNumbers...)}
		if size := job.EntrySize(entries[i].fields); size > job.MaxTaskBytes {
			return nil, job.Invalid(field(i), "takes %d bytes as an entry of the queue, at most %d are allowed", size, job.MaxTaskBytes)
		}
	}
	return entries, nil
}

func checkSchedule(delay time.Duration, runAt time.Time) error {
	switch {
	case delay != 0 && !runAt.IsZero():
		return job.Invalid("run_at", "can't be combined with delay; choose one")
	case !runAt.IsZero() && time.Until(runAt) > job.MaxDelay:
		return job.Invalid("run_at", "is more than %s ahead", job.MaxDelay)
	case !job.IsProtoTime(runAt):
		return job.Invalid("run_at", "is not a time in the years 1 to 9999")
	}
	return job.CheckDelay("delay", delay)
}
