package queue

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// A request id stands for one request, of which a digest is kept. The digest covers what the client
// gave: the tasks in one encoding, whatever the queue's settings say, their schedule and the states of
// their jobs. It leaves out what the server fills in: job ids and times of creation.

// digestVersion is the version of the computation, with which a digest begins.
const digestVersion = "v2:"

// digest is the digest of the request.
func (p *Publication) digest() string {
	sum := sha256.New()
	add := func(list ...string) { // with lengths, so that it is unambiguous
		text := strconv.Itoa(len(list)) + "\n"
		for _, s := range list {
			text += strconv.Itoa(len(s)) + ":" + s
		}
		sum.Write([]byte(text))
	}
	runAt := ""
	if !p.RunAt.IsZero() {
		runAt = strconv.FormatInt(p.RunAt.UnixNano(), 10)
	}
	add(p.Queue, p.Delay.String(), runAt)
	if p.State == nil {
		add("no state")
	} else {
		add(p.State.TTL.String())
		add(p.State.Flat()...)
	}
	for _, task := range p.Tasks {
		add(job.EncodeTask(task, job.EncodingFields)...)
	}
	return digestVersion + hex.EncodeToString(sum.Sum(nil)[:16])
}

// digestV1 is the digest as servers computed it before there were versions: their records are kept for
// one request window. Its types must not change.
func (p *Publication) digestV1() string {
	type options struct{ Queue, RequestID string }
	type task struct {
		JobID, ReportID, OrganizationID, GCSURI string
		Scanners                                []string
		TimeoutSeconds                          int32
		Part                                    string
		CreatedAt                               time.Time
		Attributes                              map[string]string
		BinaryAttributes                        map[string][]byte
	}
	type state struct {
		Fields map[string]string
		TTL    time.Duration
		Parts  []string
	}
	old := struct {
		options
		Tasks []task
		Delay time.Duration
		RunAt time.Time
		State *state
	}{options: options{p.Queue, p.RequestID}, Delay: p.Delay, RunAt: p.RunAt}
	for _, t := range p.Tasks {
		old.Tasks = append(old.Tasks, task(t)) // field by field once Task has others
	}
	if p.State != nil {
		old.State = &state{p.State.Fields, p.State.TTL, p.State.Parts}
	}
	text, err := json.Marshal(old)
	if err != nil {
		panic(err) // strings, numbers, times, and maps of strings
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// digests are the digest and the one that an earlier version computed, as the scripts take them.
func (p *Publication) digests() string { return p.digest() + " " + p.digestV1() }
