package queue

import (
	"fmt"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// PublishOptions are the same for one task and for a batch.
type PublishOptions struct {
	Queue     string // "" for the default queue
	RequestID string // "" for no deduplication
}

// PublishRequest is a task to be published.
type PublishRequest struct {
	PublishOptions
	// Task may lack a job id: then one is generated.
	Task job.Task
	// Delay or RunAt delay the delivery; not both.
	Delay time.Duration
	RunAt time.Time
	// State, if not nil, is created in the same step; ErrJobExists when the job has a state.
	State *job.InitialState
}

// Check checks the schedule and the state of a request.
func (r PublishRequest) Check() error {
	if err := checkSchedule(r.Delay, r.RunAt); err != nil {
		return err
	}
	if r.State != nil {
		return r.State.Check()
	}
	return nil
}

// Publication is the request in the form of both kinds of requests.
func (r PublishRequest) Publication() Publication {
	return Publication{PublishOptions: r.PublishOptions, Tasks: []job.Task{r.Task}, Delay: r.Delay, RunAt: r.RunAt, State: r.State,
		field: func(int) string { return "task" }}
}

// PublishBatchRequest are tasks to be published, all or none.
type PublishBatchRequest struct {
	PublishOptions
	Tasks []job.Task
	// State, if not nil, is created for the job of each task, in the same step; ErrJobExists when one
	// of the jobs has a state.
	State *job.InitialState
}

// Check checks the number of tasks and the state of a request.
func (r PublishBatchRequest) Check() error {
	if len(r.Tasks) == 0 || len(r.Tasks) > job.MaxBatch {
		return job.Invalid("tasks", "has %d entries, want 1 to %d", len(r.Tasks), job.MaxBatch)
	}
	if r.State != nil {
		return r.State.Check()
	}
	return nil
}

// Publication is the request in the form of both kinds of requests.
func (r PublishBatchRequest) Publication() Publication {
	return Publication{PublishOptions: r.PublishOptions, Tasks: r.Tasks, State: r.State,
		field: func(i int) string { return fmt.Sprintf("tasks[%d]", i) }}
}

// Publication is a request of either kind: what a request id stands for.
type Publication struct {
	PublishOptions
	Tasks []job.Task
	Delay time.Duration
	RunAt time.Time
	State *job.InitialState

	field func(i int) string // the name of a task in the request, for errors
}

func (p *Publication) isScheduled() bool { return p.Delay > 0 || !p.RunAt.IsZero() }

// encodedTask is a task as it is written.
type encodedTask struct {
	jobID string
	entry []string // field, value, …
}

// encode checks and encodes the tasks of a publication. Where each job gets something of its own, a
// mark or a state, the tasks must be of different jobs.
func (pub *Publisher) encode(p *Publication) ([]encodedTask, error) {
	now, config := time.Now(), pub.QueueSettings(p.Queue)
	tasks := make([]encodedTask, len(p.Tasks))
	jobs := make(map[string]bool)
	for i, task := range p.Tasks {
		if task.JobID == "" {
			task.JobID = pub.NewJobID()
		}
		if task.CreatedAt.IsZero() {
			task.CreatedAt = now
		}
		if err := task.Check(); err != nil {
			return nil, job.PrefixField(err, p.field(i))
		}
		if config.UniqueJobs || p.State != nil {
			if jobs[task.JobID] {
				return nil, p.duplicateJob(i)
			}
			jobs[task.JobID] = true
		}
		tasks[i] = encodedTask{task.JobID, job.EncodeTask(task, config.Encoding, config.JSONNumbers...)}
		if size := job.EntrySize(tasks[i].entry); size > job.MaxTaskBytes {
			return nil, job.Invalid(p.field(i), "takes %d bytes as an entry of the queue, at most %d are allowed", size, job.MaxTaskBytes)
		}
	}
	return tasks, nil
}

func (p *Publication) duplicateJob(i int) error {
	problem := "is also the job of another task, and this queue allows one task per job"
	if p.State != nil {
		problem = "is also the job of another task, and a job's state is created once; create it with the first of them"
	}
	return job.Invalid(p.field(i)+".job_id", "%s", problem)
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
