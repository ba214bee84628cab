package broker_test

import (
	"slices"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// modelTask is a task as the model has it. Its report id distinguishes it from others of its job.
type modelTask struct {
	id       string
	job      *modelJob
	place    string // waiting, leased, expired, delayed, dead, gone or lost
	crashes  int    // how often it was delivered because a lease expired, or to its own consumer again
	failures int
	isDoomed bool // its job was cancelled after it was published
	// lease is the one that holds, late are all that did not.
	lease queue.Delivery
	late  []string
}

// GoString is what a failed history shows of it.
func (t *modelTask) GoString() string { return t.id + " of " + t.job.name + ", " + t.place }

func (t *modelTask) is(places ...string) bool { return slices.Contains(places, t.place) }

// isLive is true of a task that is unsettled.
func (t *modelTask) isLive() bool { return t.is("waiting", "leased", "expired", "delayed") }

// isPoison is true of a task that is not delivered a further time.
func (t *modelTask) isPoison() bool {
	return t.is("leased", "expired") && t.crashes+1 >= modelCrashes
}

// leaves takes the task from its consumer, whose token is late from now on.
func (t *modelTask) leaves(place string) {
	if t.is("leased", "expired") {
		t.late = append(t.late, t.lease.Lease.Token())
	}
	t.place = place
}

// modelEvent is an event of a job.
type modelEvent struct {
	n      int    // events are numbered in their order
	cursor string // "" until it was seen
	// status is one of these. There are several until it was seen, when one read settled
	// several tasks of a job.
	status []string
}

func (e *modelEvent) isTerminal() bool { return job.Status(e.status[0]).Terminal() }

// modelJob is a job, which may have several tasks.
type modelJob struct {
	name   string
	tasks  []*modelTask
	events []*modelEvent
	worked string // the token whose Complete gave the result
	// mark is the task, if jobs are unique, that keeps others out, as it is or was the newest;
	// markedAt is the number of the last event before it.
	mark     *modelTask
	markedAt int
}

// GoString is what a failed history shows of it.
func (j *modelJob) GoString() string { return j.name }

// result is the job's first terminal event; nil for none.
func (j *modelJob) result() *modelEvent {
	if i := slices.IndexFunc(j.events, (*modelEvent).isTerminal); i >= 0 {
		return j.events[i]
	}
	return nil
}

// status is that of the job's result, "" for none.
func (j *modelJob) status() job.Status {
	if result := j.result(); result != nil {
		return job.Status(result.status[0])
	}
	return ""
}

// isActive is true of a unique job that is to have no further task.
func (j *modelJob) isActive() bool {
	if j.mark == nil || !j.mark.isLive() {
		return false
	}
	hasResultSince := slices.ContainsFunc(j.events, func(e *modelEvent) bool { return e.isTerminal() && e.n > j.markedAt })
	return !hasResultSince || slices.ContainsFunc(j.tasks, func(t *modelTask) bool {
		return t.isLive() && (!t.isDoomed || t.is("leased"))
	})
}

// isLost is true of a unique job whose mark was not taken away because its task was lost: it
// may seem to be active until the mark is old.
func (j *modelJob) isLost() bool { return j.mark != nil && j.mark.is("lost") }
