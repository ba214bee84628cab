package queue

import "github.com/hikmaai-io/argus-queue/redis/job"

// publishPlan is the way by which a publication reaches Redis. All ways have the same result; the
// later ones cost Redis less.
type publishPlan int

const (
	// planScript runs the publish script, which can do everything.
	planScript publishPlan = iota
	// planShared runs a script that creates a state with a task, in one call with concurrent publishes.
	planShared
	// planAdd adds entries by XADD, as a raw producer does.
	planAdd
)

// plan chooses the cheapest way. Only the publish script checks what the settings of a queue ask for,
// and, when mustCheck, that the queue is registered and has its groups.
func (p *Publication) plan(config job.QueueSettings, mustCheck bool) publishPlan {
	if mustCheck || p.RequestID != "" || p.isScheduled() || !config.IsPlain() {
		return planScript
	}
	switch {
	case p.State == nil:
		return planAdd
	case len(p.Tasks) == 1 && len(p.State.Parts) == 0:
		return planShared
	}
	return planScript
}
