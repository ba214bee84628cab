package job

import (
	"slices"
	"strconv"
	"strings"
)

// DefaultQueue and DefaultGroup apply where a caller names none.
const (
	DefaultQueue = "argus_task_queue"
	DefaultGroup = "argus-workers"
)

// StateFamily begins the key of a job's state, after the prefix.
const StateFamily = "job_state"

// Keys builds every key of one tenant; no other code builds keys.
//
// For names that CheckID and CheckQueue accept, no two keys are equal: each family has its own head, the
// variable part stands last, and a queue cannot begin with the head of a family. The exceptions are OldRequest
// and OldClaim, which may equal a Request or a Claim; the scripts tell them apart by their values.
type Keys struct {
	// Prefix begins every key, as it is.
	Prefix string
}

// TenantKeys builds the keys that a tenant has once.
type TenantKeys struct{ Prefix string }

// Tenant returns the keys that the tenant has once.
func (k Keys) Tenant() TenantKeys { return TenantKeys(k) }

// FairKeys builds the keys of a fair queue beside its backlog.
type FairKeys struct{ prefix, queue string }

// Fair returns the keys of a fair queue.
func (k Keys) Fair(queue string) FairKeys { return FairKeys{k.Prefix, queue} }

// Tasks returns the key of the stream of a queue's tasks. It has no head of its own: raw
// peers see a stream with the name of the queue.
func (k Keys) Tasks(queue string) string { return k.Prefix + queue }

// State returns the key of the hash of a job's state.
func (k Keys) State(job string) string { return k.Prefix + StateFamily + ":" + job }

// Completion returns the key of the stream of a job's completion events.
func (k Keys) Completion(job string) string { return k.Prefix + "argus_completion:" + job }

// Scan returns the key that holds the last event up to which a job with many events has no result.
func (k Keys) Scan(job string) string { return k.Prefix + "argus_scan:" + job }

// Delayed returns the key of the sorted set of a queue's delayed tasks, by the time they are due.
func (k Keys) Delayed(queue string) string { return k.Prefix + "argus_delayed:" + queue }

// Backlog returns the key of the sorted set of a fair queue's backlog, by organization and arrival.
func (k Keys) Backlog(queue string) string { return k.Prefix + "argus_fair:" + queue }

// Ready returns the key of the sorted set of the organizations with a backlog, by virtual time.
func (k FairKeys) Ready() string { return k.prefix + "argus_fair_ready:" + k.queue }

// Parked returns the key of the sorted set of the organizations that have reached their limit of tasks in flight.
func (k FairKeys) Parked() string { return k.prefix + "argus_fair_parked:" + k.queue }

// Tags returns the key of the sorted set of virtual times of organizations whose backlog became empty recently.
func (k FairKeys) Tags() string { return k.prefix + "argus_fair_tags:" + k.queue }

// Held returns the key of the hash of tasks in flight per organization, the virtual time and the last sequence number.
func (k FairKeys) Held() string { return k.prefix + "argus_fair_held:" + k.queue }

// DeadLetters returns the key of the stream of a queue's dead letters.
func (k Keys) DeadLetters(queue string) string { return k.Prefix + "argus_dead:" + queue }

// Request returns the key that holds the response to the request with this id.
func (k Keys) Request(queue, id string) string {
	return k.Prefix + "argus_request:" + scoped(queue, id)
}

// Claim returns the key that holds which request the id stands for in all shards.
func (k Keys) Claim(queue, id string) string { return k.Prefix + "argus_claim:" + scoped(queue, id) }

// OldRequest returns the key that earlier versions use instead of Request.
func (k Keys) OldRequest(id string) string { return k.Prefix + "argus_request:" + id }

// OldClaim returns the key that earlier versions use instead of Claim.
func (k Keys) OldClaim(id string) string { return k.Prefix + "argus_claim:" + id }

// Shards returns the key that holds the number of shards.
func (k TenantKeys) Shards() string { return k.Prefix + "argus_queues:shards" }

// DelayedQueues returns the key of the set of the queues with delayed tasks or a backlog.
func (k TenantKeys) DelayedQueues() string { return k.Prefix + "argus_queues:delayed" }

// Queues returns the key of the set of the known queues: those that were published to or read from.
func (k TenantKeys) Queues() string { return k.Prefix + "argus_queues:known" }

// EmptyQueues returns the key of the sorted set of the queues that are empty and not read from, by time.
func (k TenantKeys) EmptyQueues() string { return k.Prefix + "argus_queues:empty" }

// Janitor returns the key that exists if a server has cleaned up recently.
func (k TenantKeys) Janitor() string { return k.Prefix + "argus_queues:janitor" }

// Scratch returns the key of a stream that exists within a script only.
func (k TenantKeys) Scratch() string { return k.Prefix + "argus_queues:scratch" }

// Uncounted returns the key of the hash of deliveries that were released untried.
func (k Keys) Uncounted(queue string) string { return k.Prefix + "argus_uncounted:" + queue }

// GroupBegins returns the key of the hash of the entries after which the consumer groups began.
func (k Keys) GroupBegins(queue string) string { return k.Prefix + "argus_begins:" + queue }

// CreatedGroups returns the key of the set of the consumer groups that Admin.CreateGroup created.
func (k Keys) CreatedGroups(queue string) string { return k.Prefix + "argus_groups:" + queue }

// Paused returns the key that exists while a queue is paused.
func (k Keys) Paused(queue string) string { return k.Prefix + "argus_paused:" + queue }

// CancelledJobs returns the key of the sorted set of the jobs for which Cancel was called, by time.
func (k TenantKeys) CancelledJobs() string { return k.Prefix + "argus_jobs:cancelled" }

// Parts returns the key of the hash of a job's parts and what each has reported.
func (k Keys) Parts(job string) string { return k.Prefix + "argus_parts:" + job }

// Active returns the key that holds a job's last task in a queue of unique jobs.
func (k Keys) Active(job string) string { return k.Prefix + "argus_active:" + job }

// CancelChannel returns the channel that asks raw workers of a job to stop.
func (k Keys) CancelChannel(job string) string { return k.Prefix + "argus_cancel:" + job }

// StateJob returns the job whose state has the key, and false for any other key.
func (k Keys) StateJob(key string) (string, bool) { return strings.CutPrefix(key, k.State("")) }

// scoped returns a name within a queue. The length keeps names with colons apart.
func scoped(queue, name string) string { return strconv.Itoa(len(queue)) + ":" + queue + ":" + name }

// StatePattern returns a SCAN pattern for the states of all jobs; the prefix is matched literally.
func (k Keys) StatePattern() string { return GlobEscape(k.State("")) + "*" }

// GlobEscape returns a pattern that matches s literally.
func GlobEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s)
}

// HashTag returns the part of a key from which Redis Cluster computes the slot, "" for the whole key.
func HashTag(prefix string) string {
	_, rest, ok := strings.Cut(prefix, "{")
	if !ok {
		return ""
	}
	tag, _, ok := strings.Cut(rest, "}")
	if !ok {
		return ""
	}
	return tag
}

// AnyName stands for any name in a key: the key then has the form of an ACL rule for its family. CheckID
// rejects it, so no key of a caller is equal.
const AnyName = "*"

// Families returns a key for each family that the service uses, with AnyName, for ACL rules.
func (k Keys) Families(config Settings) []string {
	families := []string{
		k.State(AnyName), k.Completion(AnyName), k.Scan(AnyName), k.Parts(AnyName), k.Active(AnyName),
		k.Delayed(AnyName), k.Backlog(AnyName), k.DeadLetters(AnyName), k.Paused(AnyName), k.Uncounted(AnyName),
		k.Fair(AnyName).Ready(), k.Fair(AnyName).Parked(), k.Fair(AnyName).Tags(), k.Fair(AnyName).Held(),
		k.GroupBegins(AnyName), k.CreatedGroups(AnyName),
		k.OldRequest(AnyName), k.OldClaim(AnyName), // as ACL rules they cover Request and Claim
		k.Tenant().Queues(), k.Tenant().EmptyQueues(), k.Tenant().DelayedQueues(), k.Tenant().Janitor(), k.Tenant().Shards(), k.Tenant().CancelledJobs(),
		k.Tasks(config.DefaultQueue),
	}
	for queue := range config.Queues {
		families = append(families, k.Tasks(queue))
	}
	return families
}

// InnerPattern returns a SCAN pattern for the sets of known queues of tenants whose prefix begins with this one.
func (k TenantKeys) InnerPattern() string {
	return GlobEscape(k.Prefix) + "*" + GlobEscape(TenantKeys{}.Queues())
}

// InnerPrefixes returns the prefixes of the tenants that InnerPattern found, without this one.
func (k TenantKeys) InnerPrefixes(found []string) []string {
	var inner []string
	for _, key := range found {
		if prefix := strings.TrimSuffix(key, TenantKeys{}.Queues()); prefix != k.Prefix && !slices.Contains(inner, prefix) {
			inner = append(inner, prefix)
		}
	}
	return inner
}
