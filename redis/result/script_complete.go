package result

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// maxEvents is how many events a job may have before its terminal one. They are never
// trimmed: a watch must not miss any.
const maxEvents = 1000

// completeArgs are the arguments of lua/complete.lua, under the names that its header gives them.
type completeArgs struct {
	keys     job.Keys
	queue    job.QueueSettings
	isReport bool // of a status that is not terminal
	now      time.Time

	Tasks         string // the queue
	Group         string // "" for workers without a lease
	MaxEvents     string // "" for terminal events
	MaxEventBytes int
	Unique        bool
	Consumer      string // of all leases, "" if they have several; First and Last are set with it
	First, Last   string // entry ids
	StateTTL      time.Duration
	EventsTTL     time.Duration
	DefaultGroup  string
	Parts         bool
	Results       []*pendingResult
}

// completeReply is the reply for one result: its verdict, and with it
//   - VerdictOK, VerdictAlready: the cursor of the job's result, in Detail
//   - VerdictError: the message of Redis, in Detail
//   - VerdictAsk: a question, in Question
type completeReply struct {
	Verdict  string
	Detail   string
	Question []string
}

// How many keys and arguments are the same for all results, and how many words each has in the reply.
const (
	completeHeadKeys  = 2
	completeHeadArgs  = 11
	completeReplySize = 2
)

// newCompleteArgs are the arguments for results of one queue and group.
func newCompleteArgs(s *conn.Shard, pending []*pendingResult, now time.Time) completeArgs {
	first := pending[0]
	a := completeArgs{keys: s.Keys, queue: first.Queue, now: now, Tasks: first.lease.Queue, Group: first.lease.Group,
		isReport: !first.Results[0].Status.Terminal(), MaxEventBytes: s.Settings.EventBytes, Unique: first.Queue.UniqueJobs,
		StateTTL: s.Settings.StateTTL, EventsTTL: s.Settings.CompletionTTL, DefaultGroup: s.Settings.DefaultGroup, Results: pending}
	if a.isReport {
		a.MaxEvents = strconv.Itoa(maxEvents)
	}
	a.Parts = slices.ContainsFunc(pending, func(p *pendingResult) bool { return p.Part != "" })
	if len(pending) > 2 {
		a.Consumer, a.First, a.Last = leaseRange(pending)
	}
	return a
}

// leaseRange is the consumer that has all the leases, "" if there are several, and the range of their entries.
func leaseRange(pending []*pendingResult) (consumer, first, last string) {
	consumer, first, last = pending[0].lease.Consumer, pending[0].lease.EntryID, pending[0].lease.EntryID
	for _, p := range pending[1:] {
		if job.CursorLess(p.lease.EntryID, first) {
			first = p.lease.EntryID
		}
		if job.CursorLess(last, p.lease.EntryID) {
			last = p.lease.EntryID
		}
		if p.lease.Consumer != consumer {
			consumer = ""
		}
	}
	return consumer, first, last
}

// encode writes KEYS and ARGV.
func (a *completeArgs) encode() (keys, args resp.Command) {
	keys = make(resp.Command, 0, completeHeadKeys+5*len(a.Results))
	keys.Add(a.keys.Tasks(a.Tasks), a.keys.Tenant().Scratch())
	args = make(resp.Command, 0, completeHeadArgs+24*len(a.Results))
	args.Add(a.Group, a.MaxEvents, strconv.Itoa(a.MaxEventBytes), flag(a.Unique, "unique"), a.Consumer, a.First, a.Last)
	args.Number(a.StateTTL.Milliseconds())
	args.Number(a.EventsTTL.Milliseconds())
	args.Add(a.DefaultGroup, flag(a.Parts, "parts"))
	for _, p := range a.Results {
		keys.Add(a.keys.State(p.JobID), a.keys.Completion(p.JobID), a.keys.Scan(p.JobID))
		if a.Unique {
			keys.Add(a.keys.Active(p.JobID))
		}
		if a.Parts {
			keys.Add(a.keys.Parts(p.JobID))
		}
		args.Add(p.lease.EntryID, p.lease.Consumer, strconv.Itoa(p.lease.Count))
		args = p.appendArgs(args, a.now)
	}
	return keys, args
}

// flag is how a script takes a truth value.
func flag(isSet bool, word string) string {
	if isSet {
		return word
	}
	return ""
}

// runComplete runs the complete script: one reply for each result. A single result shares the call
// with concurrent ones, unless its queue waits for replicas.
func (r *Recorder) runComplete(ctx context.Context, a completeArgs) ([]completeReply, error) {
	effect := conn.Repeatable
	if a.isReport {
		effect = conn.Once
	}
	keys, args := a.encode()
	if len(a.Results) == 1 && a.queue.WaitReplicas == 0 {
		words, err := r.Batcher.Call(ctx, &conn.BatchedCall{Script: conn.CompleteScript, PerItem: completeReplySize,
			HeadKeys: keys[:completeHeadKeys], Keys: keys[completeHeadKeys:],
			HeadArgs: args[:completeHeadArgs], Args: args[completeHeadArgs:]}, effect)
		if err != nil {
			return nil, err
		}
		return completeReplies(words), nil
	}
	reply, err := conn.CompleteScript.SendDurably(ctx, r.Conn, effect, a.queue, keys, args)
	if err != nil {
		return nil, err
	}
	if n := reply.List(); n != completeReplySize*len(a.Results) {
		return nil, fmt.Errorf("complete: %d words for %d results", n, len(a.Results))
	}
	words := make([]resp.Element, completeReplySize*len(a.Results))
	for i := range words {
		words[i] = reply.Element()
	}
	return completeReplies(words), conn.Translate("complete", reply.Err, effect)
}

// completeReplies reads two words for each result.
func completeReplies(words []resp.Element) []completeReply {
	replies := make([]completeReply, len(words)/completeReplySize)
	for i := range replies {
		verdict, detail := words[completeReplySize*i], words[completeReplySize*i+1]
		replies[i] = completeReply{Verdict: verdict.Word, Detail: detail.Word, Question: detail.List}
	}
	return replies
}
