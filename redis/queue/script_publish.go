package queue

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// publishArgs are the arguments of lua/publish.lua.
type publishArgs struct {
	Queue        string
	RequestID    string        // "" for none
	Digests      string        // of the request, with a request id
	RequestTTL   time.Duration // of the record of the request id
	Delay        time.Duration // 0 for none
	RunAt        time.Time     // zero for none
	MaxLength    int           // 0 for no limit
	MarkTTL      time.Duration // 0 if jobs need not be unique
	StateTTL     time.Duration // of the states, if StateFields are given
	Fairness     string
	DefaultGroup string
	Ensure       string
	MaxQueues    string
	Parts        []string
	PartsTTL     time.Duration
	StateFields  []string // field, value, …; none to create no states
	Tasks        []encodedTask
	Outdated     map[string]string // by job id: a mark that does not count
}

// publishReply is the result of lua/publish.lua.
type publishReply struct {
	Verdict   string
	Published []Published  // of OK and DUPLICATE
	Exists    int          // of EXISTS: the index of the task whose job has a state
	Active    []activeMark // of ACTIVE
}

type activeMark struct{ JobID, Mark string }

// run runs the script. Without a request id its effect must not be repeated.
func (a *publishArgs) run(ctx context.Context, s *conn.Shard, config job.QueueSettings) (publishReply, error) {
	script, effect := conn.PublishScript, conn.Once
	if a.Fairness != "" {
		script = conn.FairPublishScript
	}
	if a.RequestID != "" {
		effect = conn.Repeatable
	}
	reply, err := script.SendDurably(ctx, s.Conn, effect, config, a.keys(s), a.args())
	if err != nil {
		return publishReply{}, err
	}
	words := reply.Words()
	if reply.Err != nil {
		return publishReply{}, conn.Translate("publish", reply.Err, effect)
	}
	return a.decode(words)
}

func (a *publishArgs) keys(s *conn.Shard) []string {
	k, hasMarks := s.Keys, a.MarkTTL > 0
	keys := []string{k.Tasks(a.Queue), k.Delayed(a.Queue), k.Tenant().DelayedQueues(), k.Request(a.Queue, a.RequestID), k.OldRequest(a.RequestID),
		k.CreatedGroups(a.Queue), k.GroupBegins(a.Queue), k.Tenant().Queues()}
	for _, task := range a.Tasks {
		if len(a.StateFields) > 0 {
			keys = append(keys, k.State(task.jobID))
		}
		if len(a.Parts) > 0 {
			keys = append(keys, k.Parts(task.jobID))
		}
		if hasMarks {
			keys = append(keys, k.Active(task.jobID), k.Completion(task.jobID))
		}
	}
	if a.Fairness != "" {
		keys = append(keys, s.FairKeys(a.Queue)...)
	}
	return keys
}

func (a *publishArgs) args() resp.Command {
	runAt, maxLength, named := "", "", ""
	if !a.RunAt.IsZero() {
		runAt = strconv.FormatInt(a.RunAt.UnixMilli(), 10)
	}
	if a.MaxLength > 0 {
		maxLength = strconv.Itoa(a.MaxLength)
	}
	if a.isNamed() {
		named = "named"
	}
	args := make(resp.Command, 0, 16+len(a.StateFields)+len(a.Tasks)*(len(a.Tasks[0].entry)+8))
	args.Add(a.Digests, milliseconds(a.RequestTTL), milliseconds(a.Delay), runAt, a.Queue, maxLength, milliseconds(a.MarkTTL), milliseconds(a.StateTTL),
		a.Fairness, named, a.DefaultGroup, a.Ensure, a.MaxQueues, strings.Join(a.Parts, " "), milliseconds(a.PartsTTL))
	args.Counted(a.StateFields...)
	for _, task := range a.Tasks {
		if named != "" {
			args.Add(task.jobID, uuid.NewString(), a.Outdated[task.jobID])
		}
		args.Counted(task.entry...)
	}
	return args
}

// isNamed: the script must know the job ids of the tasks.
func (a *publishArgs) isNamed() bool {
	return a.RequestID != "" || a.Delay > 0 || !a.RunAt.IsZero() || a.MarkTTL > 0
}

// milliseconds is a duration as the scripts take it, "" for 0.
func milliseconds(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return strconv.FormatInt(d.Milliseconds(), 10)
}

// decode reads the script's reply.
func (a *publishArgs) decode(words []string) (r publishReply, err error) {
	ok := len(words) > 0
	if ok {
		r.Verdict = words[0]
		ok = r.read(words[1:], a.Tasks)
	}
	if !ok {
		return r, fmt.Errorf("publish: unexpected reply for %d tasks: %.200q", len(a.Tasks), words)
	}
	return r, nil
}

// read reads what follows the verdict; false if that is not what should follow it.
func (r *publishReply) read(words []string, tasks []encodedTask) bool {
	switch r.Verdict {
	case conn.VerdictOK:
		return r.readIDs(words, tasks)
	case conn.VerdictDuplicate:
		eachPair(words, func(id, jobID string) { r.Published = append(r.Published, Published{EntryID: id, JobID: jobID}) })
		return len(words) == 2*len(tasks)
	case conn.VerdictActive:
		eachPair(words, func(jobID, mark string) { r.Active = append(r.Active, activeMark{JobID: jobID, Mark: mark}) })
		return len(words) > 0 && len(words)%2 == 0
	case conn.VerdictExists:
		n, err := strconv.Atoi(strings.Join(words, " "))
		r.Exists = n - 1
		return err == nil && n >= 1 && n <= len(tasks)
	}
	return slices.Contains([]string{conn.VerdictConflict, conn.VerdictFull, conn.VerdictTooManyQueues}, r.Verdict)
}

func (r *publishReply) readIDs(ids []string, tasks []encodedTask) bool {
	if len(ids) != len(tasks) {
		return false
	}
	r.Published = make([]Published, len(tasks))
	for i, task := range tasks {
		r.Published[i] = Published{EntryID: ids[i], JobID: task.jobID}
	}
	return true
}

// eachPair calls visit for each two words.
func eachPair(words []string, visit func(a, b string)) {
	for i := 0; i+1 < len(words); i += 2 {
		visit(words[i], words[i+1])
	}
}
