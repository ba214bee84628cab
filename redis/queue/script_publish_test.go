package queue

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

func TestDecodePublish(t *testing.T) {
	t.Parallel()
	args := publishArgs{Tasks: []encodedTask{{jobID: "a"}, {jobID: "b"}}}
	for text, want := range map[string]publishReply{
		"OK 1-0 2-0":            {Verdict: conn.VerdictOK, Published: []Published{{"1-0", "a"}, {"2-0", "b"}}},
		"DUPLICATE 1-0 x 2-0 y": {Verdict: conn.VerdictDuplicate, Published: []Published{{"1-0", "x"}, {"2-0", "y"}}},
		"EXISTS 2":              {Verdict: conn.VerdictExists, Exists: 1},
		"ACTIVE a mark":         {Verdict: conn.VerdictActive, Active: []activeMark{{"a", "mark"}}},
		"FULL":                  {Verdict: conn.VerdictFull},
		"CONFLICT":              {Verdict: conn.VerdictConflict},
		"QUEUES":                {Verdict: conn.VerdictTooManyQueues},
	} {
		if got, err := args.decode(strings.Fields(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "OK", "OK 1-0", "DUPLICATE 1-0", "DUPLICATE 1-0 x 2-0", "EXISTS", "EXISTS 0", "EXISTS 3", "EXISTS x", "ACTIVE", "ACTIVE a", "GONE"} {
		if got, err := args.decode(strings.Fields(text)); err == nil {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
}

// The keys are those that the script declares, in its order, for what a publication asks for.
func TestPublishKeys(t *testing.T) {
	t.Parallel()
	shard := &conn.Shard{Conn: &conn.Conn{Keys: job.Keys{Prefix: "p:"}}}
	args := publishArgs{Queue: "q", RequestID: "r", Tasks: []encodedTask{{"a", nil}, {"b", nil}}}
	k := shard.Keys
	common := []string{k.Tasks("q"), k.Delayed("q"), k.Tenant().DelayedQueues(), k.Request("q", "r"), k.OldRequest("r"), k.CreatedGroups("q"), k.GroupBegins("q"), k.Tenant().Queues()}
	if got := args.keys(shard); !slices.Equal(got, common) {
		t.Errorf("keys %q, want %q", got, common)
	}
	args.StateFields, args.Parts, args.MarkTTL, args.Fairness = []string{"a", "b"}, []string{"p"}, time.Hour, "{}"
	want := slices.Clone(common)
	for _, jobID := range []string{"a", "b"} {
		want = append(want, k.State(jobID), k.Parts(jobID), k.Active(jobID), k.Completion(jobID))
	}
	want = append(want, shard.FairKeys("q")...)
	if got := args.keys(shard); !slices.Equal(got, want) {
		t.Errorf("keys %q, want %q", got, want)
	}
}

// The tasks are named, each with its job, where the script must know the jobs.
func TestPublishArgs(t *testing.T) {
	t.Parallel()
	args := publishArgs{Queue: "q", Tasks: []encodedTask{{"a", []string{"x", "y"}}}}
	if got := args.args(); got[9] != "" || !slices.Equal(got[15:], []string{"0", "2", "x", "y"}) {
		t.Errorf("the arguments are %q", got)
	}
	args.MarkTTL, args.StateFields, args.Outdated = time.Second, []string{"s", "t"}, map[string]string{"a": "mark"}
	got := args.args()
	if got[6] != "1000" || got[9] != "named" || !slices.Equal(got[15:19], []string{"2", "s", "t", "a"}) || !slices.Equal(got[20:], []string{"mark", "2", "x", "y"}) {
		t.Errorf("the arguments are %q", got)
	}
}
