package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// MaxDelay is how far ahead a task can be scheduled, and how long a state can be kept.
const MaxDelay = 365 * 24 * time.Hour

// InitialState is a job's state as a publish creates it.
type InitialState struct {
	Fields map[string]string
	TTL    time.Duration // 0 for the broker's StateTTL
	// Parts names what must report a result each before the job has one.
	Parts []string
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
	Task Task
	// Delay or RunAt delay the delivery; not both.
	Delay time.Duration
	RunAt time.Time
	// State, if not nil, is created in the same step; ErrJobExists when there is one.
	State *InitialState
}

// PublishBatchRequest are tasks to be queued, all or none.
type PublishBatchRequest struct {
	PublishOptions
	Tasks []Task
	// State, if not nil, is created for the job of each task, in the same step;
	// ErrJobExists when one of them has a state.
	State *InitialState
}

// Published says where a task is.
type Published struct {
	EntryID string // "" while the task is delayed, or waits for its turn in a fair queue
	JobID   string
}

// Publish puts a task into its queue. deduplicated: it was there from an earlier call
// with the same request id. Errors: ErrInvalid, ErrRequestIDConflict, ErrJobExists;
// ErrOutcomeUnknown when the connection broke and there is no request id.
func (b *Broker) Publish(ctx context.Context, r PublishRequest) (p Published, deduplicated bool, err error) {
	if err := r.check(); err != nil {
		return p, false, err
	}
	all, deduplicated, err := b.publish(ctx, r.publication(), taskField)
	if err != nil {
		return p, false, err
	}
	return all[0], deduplicated, nil
}

func (r PublishRequest) check() error {
	if err := checkSchedule(r.Delay, r.RunAt); err != nil {
		return err
	}
	if r.State != nil {
		return r.State.check()
	}
	return nil
}

func (r PublishRequest) publication() publication {
	return publication{PublishOptions: r.PublishOptions, Tasks: []Task{r.Task}, Delay: r.Delay, RunAt: r.RunAt, State: r.State}
}

func taskField(int) string { return "task" }

// PublishBatch puts tasks into their queue, all or none, in their order.
func (b *Broker) PublishBatch(ctx context.Context, r PublishBatchRequest) (p []Published, deduplicated bool, err error) {
	if err := r.check(); err != nil {
		return nil, false, err
	}
	return b.publish(ctx, r.publication(), batchField)
}

func (r PublishBatchRequest) check() error {
	if len(r.Tasks) == 0 || len(r.Tasks) > MaxBatch {
		return invalid("tasks", "has %d entries, want 1 to %d", len(r.Tasks), MaxBatch)
	}
	if r.State != nil {
		return r.State.check()
	}
	return nil
}

func (r PublishBatchRequest) publication() publication {
	return publication{PublishOptions: r.PublishOptions, Tasks: r.Tasks, State: r.State}
}

func batchField(i int) string { return fmt.Sprintf("tasks[%d]", i) }

// publication is what a request id stands for.
type publication struct {
	PublishOptions
	Tasks []Task
	Delay time.Duration
	RunAt time.Time
	State *InitialState
}

func (b *Broker) publish(ctx context.Context, p publication, field func(int) string) ([]Published, bool, error) {
	queue, err := b.queueName(p.Queue)
	if err != nil {
		return nil, false, err
	}
	digest, unknown := "", once
	if p.RequestID != "" {
		if err := CheckID("request_id", p.RequestID); err != nil {
			return nil, false, err
		}
	}
	config := b.queueConfig(queue)
	entries, err := b.entries(p.Tasks, config, p.State != nil, field)
	if err != nil {
		return nil, false, err
	}
	isDue := b.known.grouped.due(queue)
	if !isDue && p.RequestID == "" && p.Delay == 0 && p.RunAt.IsZero() && b.client.pipeliner != nil && config.isPlain() {
		switch {
		case p.State == nil:
			published, hasStream, err := b.publishPlain(ctx, queue, entries)
			if hasStream || err != nil {
				return published, false, err
			}
		case len(entries) == 1 && len(p.State.Parts) == 0:
			published, hasStream, err := b.publishShared(ctx, queue, entries[0], p.State)
			if hasStream || err != nil {
				return published, false, err
			}
		}
	}
	if p.RequestID != "" {
		p.Queue = queue
		digest, unknown = p.digests(), repeatable
	}
	keys := []string{b.keys.tasks(queue), b.keys.delayed(queue), b.keys.delayedQueues(), b.keys.request(queue, p.RequestID), b.keys.oldRequest(p.RequestID),
		b.keys.createdGroups(queue), b.keys.groupBegins(queue), b.keys.queues()}
	for _, entry := range entries {
		if p.State != nil {
			keys = append(keys, b.keys.state(entry.jobID))
		}
		if p.State != nil && len(p.State.Parts) > 0 {
			keys = append(keys, b.keys.parts(entry.jobID))
		}
		if config.UniqueJobs {
			keys = append(keys, b.keys.active(entry.jobID), b.keys.completion(entry.jobID))
		}
	}
	fairKeys, fairness := b.fair(queue)
	keys = append(keys, fairKeys...)
	reply, err := b.runPublish(ctx, config, unknown, keys, p.args(b.config, config, queue, digest, fairness, config.Groups.ensure(isDue)), entries)
	if err != nil || reply[0] != "OK" { // nothing was looked at
		b.known.grouped.forget(queue)
	}
	if err != nil {
		return nil, false, err
	}
	switch reply[0] {
	case "CONFLICT":
		return nil, false, ErrRequestIDConflict
	case "EXISTS":
		n, err := number(reply[1])
		if err != nil || n < 1 || n > int64(len(entries)) {
			return nil, false, fmt.Errorf("publish: unexpected reply %q", reply)
		}
		return nil, false, &JobError{JobID: entries[n-1].jobID, Err: ErrJobExists}
	case "FULL":
		return nil, false, ErrQueueFull
	case "QUEUES":
		return nil, false, ErrTooManyQueues
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
			b.ringState(entries[i].jobID)
		}
	}
	switch {
	case p.Delay > 0 || !p.RunAt.IsZero():
		b.due.set(max(p.Delay, time.Until(p.RunAt)))
	case fairness != "":
		b.waiters.NotifyEach(keys[0], len(published))
		b.due.set(fairPeriod)
	default:
		b.waiters.NotifyNew(keys[0], published[len(published)-1].EntryID, len(published))
	}
	return published, reply[0] == "DUPLICATE", nil
}

// runPublish runs the script. A mark that a job is active may be of a task that a raw worker
// has settled by now: then the script runs again with that mark as out of date.
func (b *Broker) runPublish(ctx context.Context, config QueueConfig, e effect, keys, head []string, entries []newEntry) ([]string, error) {
	isNamed := head[9] != ""
	var stale map[string]string
	for {
		args := append(make(words, 0, len(head)+len(entries)*(len(entries[0].fields)+8)), head...)
		for _, entry := range entries {
			if isNamed {
				args.add(entry.jobID, uuid.NewString(), stale[entry.jobID])
			}
			args.counted(entry.fields...)
		}
		script := publishScript
		if head[8] != "" {
			script = fairPublishScript
		}
		r, err := script.durably(ctx, b.client, e, config, keys, args)
		if err != nil {
			return nil, err
		}
		reply := r.words()
		if err := translate("publish", r.err, e); err != nil || len(reply) == 0 || reply[0] != "ACTIVE" {
			return reply, err
		}
		for pair := range slices.Chunk(reply[1:], 2) {
			job, mark := pair[0], pair[1]
			isStale, err := b.isOutOfDate(ctx, job, mark)
			if err != nil {
				return nil, err
			}
			if !isStale || stale[job] == mark {
				return nil, &JobError{JobID: job, Err: ErrJobActive}
			}
			set(&stale, job, mark)
		}
	}
}

// args are the script's arguments before the entries.
func (p publication) args(config BrokerConfig, q QueueConfig, queue, digest, fairness, ensure string) words {
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
		uniqueTTL = fmt.Sprint((config.unfinishedTTL() + max(p.Delay, time.Until(p.RunAt), 0)).Milliseconds())
	}
	parts, partsTTL := "", config.unfinishedTTL()+max(p.Delay, time.Until(p.RunAt), 0)
	var state []string
	if p.State != nil {
		parts = strings.Join(p.State.Parts, " ")
		ttl = fmt.Sprint(orDefault(p.State.TTL, config.StateTTL).Milliseconds())
		state = p.State.flat()
	}
	named := ""
	if digest != "" || delay != "" || runAt != "" || uniqueTTL != "" {
		named = "named"
	}
	args := words{digest, fmt.Sprint(config.RequestWindow.Milliseconds()), delay, runAt, queue, most, uniqueTTL, ttl, fairness, named,
		config.DefaultGroup, ensure, config.mostQueues(queue), parts, strconv.FormatInt(partsTTL.Milliseconds(), 10)}
	args.counted(state...)
	return args
}

// newEntry is a task as the script takes it.
type newEntry struct {
	jobID  string
	fields []string
}

// entries encodes tasks. Where each job gets something of its own, they must be of
// different jobs.
func (b *Broker) entries(tasks []Task, q QueueConfig, hasState bool, field func(int) string) ([]newEntry, error) {
	now := time.Now()
	entries := make([]newEntry, len(tasks))
	jobs := make(map[string]bool)
	for i, task := range tasks {
		if task.JobID == "" {
			task.JobID = b.newJobID()
		}
		if task.CreatedAt.IsZero() {
			task.CreatedAt = now
		}
		if err := task.check(); err != nil {
			return nil, named(err, field(i))
		}
		if q.UniqueJobs || hasState {
			if jobs[task.JobID] {
				problem := "is another task's too, and this queue wants one task of a job"
				if hasState {
					problem = "is another task's too, and a job's state is created once; create it with the first of them"
				}
				return nil, invalid(field(i)+".job_id", "%s", problem)
			}
			jobs[task.JobID] = true
		}
		entries[i] = newEntry{jobID: task.JobID, fields: EncodeTask(task, q.Encoding, q.JSONNumbers...)}
		if size := entrySize(entries[i].fields); size > MaxTaskBytes {
			return nil, invalid(field(i), "takes %d bytes as an entry of the queue, at most %d are allowed", size, MaxTaskBytes)
		}
	}
	return entries, nil
}

func checkSchedule(delay time.Duration, runAt time.Time) error {
	switch {
	case delay != 0 && !runAt.IsZero():
		return invalid("run_at", "can't be combined with delay; choose one")
	case !runAt.IsZero() && time.Until(runAt) > MaxDelay:
		return invalid("run_at", "is more than %s ahead", MaxDelay)
	case !isProtoTime(runAt):
		return invalid("run_at", "is not a time in the years 1 to 9999")
	}
	return CheckDelay("delay", delay)
}

// CheckDelay checks how long something is to be put off.
func CheckDelay(field string, d time.Duration) error {
	if d < 0 || d > MaxDelay {
		return invalid(field, "is %s, want 0 to %s", d, MaxDelay)
	}
	return nil
}

// CheckTTL checks how long something is to be kept; 0 means the default.
func CheckTTL(field string, d time.Duration) error {
	if d != 0 && (d < time.Millisecond || d > MaxDelay) {
		return invalid(field, "is %s, want 1ms to %s", d, MaxDelay)
	}
	return nil
}

func (s InitialState) check() error {
	if err := CheckTTL("initial_state.ttl", s.TTL); err != nil {
		return err
	}
	return errors.Join(CheckFields("initial_state.fields", s.Fields), checkParts("initial_state.parts", s.Parts))
}

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}
