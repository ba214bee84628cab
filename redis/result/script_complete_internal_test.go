package result

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

func testPending(entryID, consumer string, result job.Result) *pendingResult {
	lease := job.Lease{Queue: "q", Group: "g", EntryID: entryID, Consumer: consumer, Count: 2, JobID: "job"}
	return &pendingResult{lease: lease, Write: Write{JobID: "job", Part: result.Part, mark: "m", Results: []job.Result{result}}}
}

func testShard() *conn.Shard {
	return &conn.Shard{Conn: &conn.Conn{Keys: job.Keys{Prefix: "p:"}}, Settings: job.Settings{StateTTL: time.Second, CompletionTTL: time.Minute, DefaultGroup: "workers", EventBytes: 7}}
}

// The head is followed by the keys and arguments of each result.
func TestCompleteArgs(t *testing.T) {
	t.Parallel()
	done := job.Result{Status: job.StatusCompleted, Part: "a"}
	pending := []*pendingResult{testPending("1-1", "c", done)}
	pending[0].Queue.UniqueJobs = true
	args := newCompleteArgs(testShard(), pending, testTime)
	keys, argv := args.encode()
	names := job.Keys{Prefix: "p:"}
	want := []string{names.Tasks("q"), names.Tenant().Scratch(), names.State("job"), names.Completion("job"), names.Scan("job"), names.Active("job"), names.Parts("job")}
	if diff := cmp.Diff(want, []string(keys)); diff != "" {
		t.Error(diff)
	}
	want = []string{"g", "", "7", "unique", "", "", "", "1000", "60000", "workers", "parts", "1-1", "c", "2", "job"}
	if diff := cmp.Diff(want, []string(argv[:len(want)])); diff != "" {
		t.Error(diff)
	}
	if len(want) != completeHeadArgs+4 {
		t.Error(completeHeadArgs)
	}
}

func TestCompleteArgsOfReport(t *testing.T) {
	t.Parallel()
	args := newCompleteArgs(testShard(), []*pendingResult{testPending("", "", job.Result{Status: job.StatusRunning})}, testTime)
	keys, argv := args.encode()
	if !args.isReport || argv[1] != "1000" || len(keys) != completeHeadKeys+3 {
		t.Error(args.isReport, argv, keys)
	}
}

func TestLeaseRange(t *testing.T) {
	t.Parallel()
	done := job.Result{Status: job.StatusCompleted}
	consumer, first, last := leaseRange([]*pendingResult{testPending("5-1", "c", done), testPending("10-0", "c", done), testPending("5-0", "c", done)})
	if consumer != "c" || first != "5-0" || last != "10-0" {
		t.Error(consumer, first, last)
	}
	if consumer, _, _ = leaseRange([]*pendingResult{testPending("1-1", "c", done), testPending("1-2", "d", done)}); consumer != "" {
		t.Error(consumer)
	}
}

func TestBatchLength(t *testing.T) {
	t.Parallel()
	many := make([]*pendingResult, 3*maxBatch)
	for i := range many {
		many[i] = testPending("1-1", "c", job.Result{})
	}
	many[maxBatch+5].lease.Queue = "other"
	many[maxBatch+6].lease.Queue = "other"
	many[maxBatch+6].lease.Group = "other"
	var lengths []int
	for rest := many; len(rest) > 0; {
		n := batchLength(rest)
		lengths, rest = append(lengths, n), rest[n:]
	}
	if diff := cmp.Diff([]int{100, 5, 1, 1, 100, 93}, lengths); diff != "" {
		t.Error(diff)
	}
}

func TestCompleteReplies(t *testing.T) {
	t.Parallel()
	got := completeReplies([]resp.Element{{Word: "OK"}, {Word: "1-1"}, {Word: "ASK"}, {List: []string{"AGAIN", ""}}})
	want := []completeReply{{Verdict: conn.VerdictOK, Detail: "1-1"}, {Verdict: conn.VerdictAsk, Question: []string{"AGAIN", ""}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
