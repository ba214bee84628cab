package conn

// The verdicts of the scripts that record and repair results, read and write states, and administer queues.
// The header of each script lists those that it returns. Those on leases are in job.NewLeaseError.
const (
	VerdictNoPart = "NO_PART" // the job has no such part
	VerdictError  = "ERROR"   // Redis refused; its message follows
	VerdictAsk    = "ASK"     // a question follows as a list: one of the next four

	VerdictJudge = "JUDGE" // events in JSON follow whose statuses the script needs
	VerdictParts = "PARTS" // the statuses of the job's parts follow: encode the results for these
	VerdictPart  = "PART"  // the part that the task is follows: encode the results for it
	VerdictAgain = "AGAIN" // there are more events than one call examines: call again

	VerdictHealed = "HEALED"   // the state now agrees with the result
	VerdictAsItIs = "AS_IT_IS" // the state was left alone

	VerdictState    = "STATE"     // the fields follow
	VerdictLarge    = "LARGE"     // read the fields over a connection for large replies
	VerdictTooLarge = "TOO_LARGE" // too large to be read
	VerdictNone     = "NONE"      // there is no state

	VerdictWritten = "WRITTEN" // it existed before

	VerdictDeleted  = "DELETED"
	VerdictNotFound = "NOT_FOUND"
	VerdictInUse    = "IN_USE" // consumers of the group hold tasks

	VerdictEmpty     = "EMPTY"     // the queue is not empty for long enough
	VerdictForgotten = "FORGOTTEN" // the queue was deleted
)
