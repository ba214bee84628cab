package job

import (
	"slices"
	"strconv"
	"strings"
)

// DefaultQueue and DefaultGroup are used where a caller names none.
const (
	DefaultQueue = "argus_task_queue"
	DefaultGroup = "argus-workers"
)

// StateFamily is the first part of the key of a job's state.
const StateFamily = "job_state"

// Keys builds every key that this package uses; no other code joins strings to a key.
// No two of them are ever equal for names that CheckID and CheckQueue accept: each
// family has its own head, the variable part stands last, and a queue can't begin
// with a family's head. A request and a claim of an earlier version (oldRequest, oldClaim) may
// have the key of one of this version; their values tell which they are.
type Keys struct{ Prefix string }

func (k Keys) Tasks(queue string) string { return k.Prefix + queue }

func (k Keys) State(job string) string { return k.Prefix + StateFamily + ":" + job }

func (k Keys) Completion(job string) string { return k.Prefix + "argus_completion:" + job }

func (k Keys) Scan(job string) string { return k.Prefix + "argus_scan:" + job }

func (k Keys) Delayed(queue string) string { return k.Prefix + "argus_delayed:" + queue }

func (k Keys) Backlog(queue string) string { return k.Prefix + "argus_fair:" + queue }

func (k Keys) FairReady(queue string) string { return k.Prefix + "argus_fair_ready:" + queue }

func (k Keys) FairParked(queue string) string { return k.Prefix + "argus_fair_parked:" + queue }

func (k Keys) FairTags(queue string) string { return k.Prefix + "argus_fair_tags:" + queue }

func (k Keys) FairHeld(queue string) string { return k.Prefix + "argus_fair_held:" + queue }

func (k Keys) DeadLetters(queue string) string { return k.Prefix + "argus_dead:" + queue }

func (k Keys) Request(queue, id string) string {
	return k.Prefix + "argus_request:" + scoped(queue, id)
}

func (k Keys) Claim(queue, id string) string { return k.Prefix + "argus_claim:" + scoped(queue, id) }

func (k Keys) OldRequest(id string) string { return k.Prefix + "argus_request:" + id }

func (k Keys) OldClaim(id string) string { return k.Prefix + "argus_claim:" + id }

func (k Keys) Shards() string { return k.Prefix + "argus_queues:shards" }

func (k Keys) DelayedQueues() string { return k.Prefix + "argus_queues:delayed" }

func (k Keys) Queues() string { return k.Prefix + "argus_queues:known" }

func (k Keys) EmptyQueues() string { return k.Prefix + "argus_queues:empty" }

func (k Keys) Janitor() string { return k.Prefix + "argus_queues:janitor" }

func (k Keys) Scratch() string { return k.Prefix + "argus_queues:scratch" }

func (k Keys) Uncounted(queue string) string { return k.Prefix + "argus_uncounted:" + queue }

func (k Keys) GroupBegins(queue string) string { return k.Prefix + "argus_begins:" + queue }

func (k Keys) CreatedGroups(queue string) string { return k.Prefix + "argus_groups:" + queue }

func (k Keys) Paused(queue string) string { return k.Prefix + "argus_paused:" + queue }

func (k Keys) CancelledJobs() string { return k.Prefix + "argus_jobs:cancelled" }

func (k Keys) Parts(job string) string { return k.Prefix + "argus_parts:" + job }

func (k Keys) Active(job string) string { return k.Prefix + "argus_active:" + job }

func (k Keys) CancelChannel(job string) string { return k.Prefix + "argus_cancel:" + job }

func (k Keys) StateJob(key string) (string, bool) { return strings.CutPrefix(key, k.State("")) }

// scoped names something of a queue. The length keeps names with colons apart.
func scoped(queue, name string) string { return strconv.Itoa(len(queue)) + ":" + queue + ":" + name }

// StatePattern is a SCAN pattern for the states; the prefix is taken literally.
func (k Keys) StatePattern() string { return GlobEscape(k.State("")) + "*" }

func GlobEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s)
}

// HashTag is the part of a key that Redis Cluster computes the slot from, "" when
// the whole key counts.
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

// AnyName stands for a name in a key. It is none that CheckID accepts, so no caller's key is
// meant; and the key is what an ACL rule for the whole family looks like.
const AnyName = "*"

// Families are keys that stand for all that the service uses, for ACL rules.
func (k Keys) Families(config Settings) []string {
	families := []string{k.State(AnyName), k.Completion(AnyName), k.Scan(AnyName), k.Delayed(AnyName), k.Backlog(AnyName),
		k.FairReady(AnyName), k.FairParked(AnyName), k.FairTags(AnyName), k.FairHeld(AnyName), k.DeadLetters(AnyName), k.Parts(AnyName),
		k.OldRequest(AnyName), k.OldClaim(AnyName), k.Uncounted(AnyName), k.GroupBegins(AnyName), k.CreatedGroups(AnyName), k.Paused(AnyName), k.Active(AnyName),
		k.Queues(), k.EmptyQueues(), k.DelayedQueues(), k.Janitor(), k.Shards(), k.CancelledJobs(), k.Tasks(config.DefaultQueue)}
	for queue := range config.Queues {
		families = append(families, k.Tasks(queue))
	}
	return families
}

// InnerPattern is a SCAN pattern for the sets of known queues of prefixes that this one begins.
func (k Keys) InnerPattern() string { return GlobEscape(k.Prefix) + "*" + GlobEscape(Keys{}.Queues()) }

// InnerPrefixes are the prefixes of such sets, without this one.
func (k Keys) InnerPrefixes(found []string) []string {
	var inner []string
	for _, key := range found {
		if prefix := strings.TrimSuffix(key, Keys{}.Queues()); prefix != k.Prefix && !slices.Contains(inner, prefix) {
			inner = append(inner, prefix)
		}
	}
	return inner
}
