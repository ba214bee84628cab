package queue

import (
	"cmp"
	"context"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// runScript publishes by the publish script.
func (pub *Publisher) runScript(ctx context.Context, p Publication, config job.QueueSettings, tasks []encodedTask, mustCheck bool) ([]Published, bool, error) {
	args := pub.scriptArgs(&p, config, tasks, mustCheck)
	reply, err := pub.runPastMarks(ctx, args, config)
	if err != nil || reply.Verdict != conn.VerdictOK { // the queue and its groups were not checked
		pub.registry.Known.Grouped.Forget(p.Queue)
	}
	if err == nil {
		err = reply.err(tasks)
	}
	if err != nil {
		return nil, false, err
	}
	if p.State != nil {
		for _, task := range tasks {
			pub.watches.StateWritten(task.jobID)
		}
	}
	pub.notify(&p, config, reply.Published)
	return reply.Published, reply.Verdict == conn.VerdictDuplicate, nil
}

// scriptArgs are the arguments of the script for a publication.
func (pub *Publisher) scriptArgs(p *Publication, config job.QueueSettings, tasks []encodedTask, mustCheck bool) *publishArgs {
	unfinishedTTL := pub.Settings.UnfinishedTTL() + max(p.Delay, time.Until(p.RunAt), 0)
	args := &publishArgs{Queue: p.Queue, RequestID: p.RequestID, RequestTTL: pub.Settings.RequestWindow, Delay: p.Delay, RunAt: p.RunAt,
		MaxLength: config.MaxLength, Fairness: pub.Fairness(p.Queue), DefaultGroup: pub.Settings.DefaultGroup,
		Ensure: config.Groups.ScriptArg(mustCheck), MaxQueues: pub.Settings.QueueLimit(p.Queue), PartsTTL: unfinishedTTL, Tasks: tasks}
	if p.RequestID != "" {
		args.Digests = p.digests()
	}
	if config.UniqueJobs {
		args.MarkTTL = unfinishedTTL
	}
	if p.State != nil {
		args.StateFields, args.Parts = p.State.Flat(), p.State.Parts
		args.StateTTL = cmp.Or(p.State.TTL, pub.Settings.StateTTL)
	}
	return args
}

// runPastMarks runs the script, and again with the active marks that turn out to be stale: a mark may be
// of a task that a raw worker has settled.
func (pub *Publisher) runPastMarks(ctx context.Context, args *publishArgs, config job.QueueSettings) (publishReply, error) {
	for {
		reply, err := args.run(ctx, pub.Shard, config)
		if err != nil || reply.Verdict != conn.VerdictActive {
			return reply, err
		}
		for _, active := range reply.Active {
			isStale, err := pub.marks.IsStale(ctx, active.JobID, active.Mark)
			if err != nil {
				return reply, err
			}
			if !isStale || args.Outdated[active.JobID] == active.Mark {
				return reply, &job.JobError{JobID: active.JobID, Err: job.ErrJobActive}
			}
			job.SetLazily(&args.Outdated, active.JobID, active.Mark)
		}
	}
}

// err is the error that a verdict stands for; nil when the tasks are published.
func (r *publishReply) err(tasks []encodedTask) error {
	switch r.Verdict {
	case conn.VerdictConflict:
		return job.ErrRequestIDConflict
	case conn.VerdictExists:
		return &job.JobError{JobID: tasks[r.Exists].jobID, Err: job.ErrJobExists}
	case conn.VerdictFull:
		return job.ErrQueueFull
	case conn.VerdictTooManyQueues:
		return job.ErrTooManyQueues
	}
	return nil
}

// notify notifies what has to act on published tasks: waiting reads, or the scheduler.
func (pub *Publisher) notify(p *Publication, config job.QueueSettings, published []Published) {
	stream := pub.Keys.Tasks(p.Queue)
	switch {
	case p.isScheduled():
		pub.scheduler.due.set(max(p.Delay, time.Until(p.RunAt)))
	case config.FairBy != "":
		pub.waiters.NotifyEach(stream, len(published))
		pub.scheduler.due.set(fairPeriod)
	default:
		pub.waiters.NotifyNew(stream, published[len(published)-1].EntryID, len(published))
	}
}
