package redis

import (
	"strconv"
	"strings"
)

// DefaultQueue and DefaultGroup are used where a caller names none.
const (
	DefaultQueue = "argus_task_queue"
	DefaultGroup = "argus-workers"
)

// stateFamily is the first part of the key of a job's state.
const stateFamily = "job_state"

// keys builds every key that this package uses; no other code joins strings to a key.
// No two of them are ever equal for names that CheckID and CheckQueue accept: each
// family has its own head, the variable part stands last, and a queue can't begin
// with a family's head. A request and a claim of an earlier version (oldRequest, oldClaim) may
// have the key of one of this version; their values tell which they are.
type keys struct{ prefix string }

func (k keys) tasks(queue string) string       { return k.prefix + queue }
func (k keys) state(job string) string         { return k.prefix + stateFamily + ":" + job }
func (k keys) completion(job string) string    { return k.prefix + "argus_completion:" + job }
func (k keys) scan(job string) string          { return k.prefix + "argus_scan:" + job }
func (k keys) delayed(queue string) string     { return k.prefix + "argus_delayed:" + queue }
func (k keys) backlog(queue string) string     { return k.prefix + "argus_fair:" + queue }
func (k keys) fairReady(queue string) string   { return k.prefix + "argus_fair_ready:" + queue }
func (k keys) fairParked(queue string) string  { return k.prefix + "argus_fair_parked:" + queue }
func (k keys) fairTags(queue string) string    { return k.prefix + "argus_fair_tags:" + queue }
func (k keys) fairHeld(queue string) string    { return k.prefix + "argus_fair_held:" + queue }
func (k keys) deadLetters(queue string) string { return k.prefix + "argus_dead:" + queue }
func (k keys) request(queue, id string) string {
	return k.prefix + "argus_request:" + scoped(queue, id)
}
func (k keys) claim(queue, id string) string      { return k.prefix + "argus_claim:" + scoped(queue, id) }
func (k keys) oldRequest(id string) string        { return k.prefix + "argus_request:" + id }
func (k keys) oldClaim(id string) string          { return k.prefix + "argus_claim:" + id }
func (k keys) shards() string                     { return k.prefix + "argus_queues:shards" }
func (k keys) delayedQueues() string              { return k.prefix + "argus_queues:delayed" }
func (k keys) queues() string                     { return k.prefix + "argus_queues:known" }
func (k keys) emptyQueues() string                { return k.prefix + "argus_queues:empty" }
func (k keys) janitor() string                    { return k.prefix + "argus_queues:janitor" }
func (k keys) scratch() string                    { return k.prefix + "argus_queues:scratch" }
func (k keys) uncounted(queue string) string      { return k.prefix + "argus_uncounted:" + queue }
func (k keys) groupBegins(queue string) string    { return k.prefix + "argus_begins:" + queue }
func (k keys) createdGroups(queue string) string  { return k.prefix + "argus_groups:" + queue }
func (k keys) paused(queue string) string         { return k.prefix + "argus_paused:" + queue }
func (k keys) cancelledJobs() string              { return k.prefix + "argus_jobs:cancelled" }
func (k keys) parts(job string) string            { return k.prefix + "argus_parts:" + job }
func (k keys) active(job string) string           { return k.prefix + "argus_active:" + job }
func (k keys) cancelChannel(job string) string    { return k.prefix + "argus_cancel:" + job }
func (k keys) stateJob(key string) (string, bool) { return strings.CutPrefix(key, k.state("")) }

// scoped names something of a queue. The length keeps names with colons apart.
func scoped(queue, name string) string { return strconv.Itoa(len(queue)) + ":" + queue + ":" + name }

// statePattern is a SCAN pattern for the states; the prefix is taken literally.
func (k keys) statePattern() string { return globEscape(k.state("")) + "*" }

func globEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s)
}

// hashTag is the part of a key that Redis Cluster computes the slot from, "" when
// the whole key counts.
func hashTag(prefix string) string {
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
