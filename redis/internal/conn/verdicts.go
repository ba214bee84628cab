package conn

// The verdicts of the scripts: words by which a script says what it did, or why it did nothing. The
// header of each .lua file says which it returns, and what they mean there.
const (
	VerdictOK = "OK"

	// Of publishing: publish.lua, publish_each.lua, know.lua.
	VerdictActive        = "ACTIVE"    // the job has an unsettled task
	VerdictConflict      = "CONFLICT"  // the request id was used with another request
	VerdictDuplicate     = "DUPLICATE" // the request was made before
	VerdictExists        = "EXISTS"    // the job has a state
	VerdictFull          = "FULL"      // the queue, or the state, would become too large
	VerdictNoStream      = "NO_STREAM" // the queue has no stream
	VerdictTooManyQueues = "QUEUES"    // the queue would be one too many

	// Of a claim of a request id: claim.lua.
	VerdictNew      = "NEW"
	VerdictKnown    = "KNOWN"
	VerdictReleased = "RELEASED"
	VerdictKept     = "KEPT"

	// Of reading: read.lua.
	VerdictMore          = "MORE"     // expired leases may be left
	VerdictPaused        = "PAUSED"   // the queue is paused
	VerdictCreated       = "CREATED"  // the group was created
	VerdictAbsent        = "ABSENT"   // there is no stream
	VerdictNoGroup       = "NO_GROUP" // the group does not exist and may not be created
	VerdictTooManyGroups = "GROUPS"   // the group would be one too many

	// Of a lease: ack.lua, extend.lua, nack.lua.
	VerdictAcked      = "ACKED"
	VerdictNotPending = "NOT_PENDING" // the entry was settled before
	VerdictLeaseLost  = "LEASE_LOST"  // the entry has another lease
	VerdictOtherJob   = "OTHER_JOB"   // the entry is a task of another job
	VerdictOtherPart  = "OTHER_PART"  // the entry is another part of the job

	// Of ending a task without a worker's result: nack.lua, cancel.lua, drop.lua.
	VerdictRetry     = "RETRY"     // the task is delivered again
	VerdictDead      = "DEAD"      // the task is among the dead letters
	VerdictCancelled = "CANCELLED" // the job was cancelled
	VerdictMarked    = "MARKED"    // the job is cancelled from now on
	VerdictAlready   = "ALREADY"   // the job has its result
	VerdictDropped   = "DROPPED"   // the task is removed
	VerdictGone      = "GONE"      // the task was not there
	VerdictLeased    = "LEASED"    // a worker has the task
)
