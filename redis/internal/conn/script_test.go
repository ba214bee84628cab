package conn

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// A script is called by its hash, and with its source where the server does not know it.
func TestScriptRuns(t *testing.T) {
	t.Parallel()
	c, node := standalone(t, func(words []string) string {
		if words[0] == "evalsha" {
			return "-NOSCRIPT no matching script\r\n"
		}
		return "*2\r\n$1\r\na\r\n$1\r\nb\r\n"
	})
	for name, run := range map[string]func(ctx context.Context) ([]string, error){
		"strings": func(ctx context.Context) ([]string, error) {
			return AckScript.Strings(ctx, c, Once, []string{"k"}, "x", 1)
		},
		"send": func(ctx context.Context) ([]string, error) {
			r, err := AckScript.Send(ctx, c, Once, []string{"k"}, resp.Command{"x", "1"})
			if err != nil {
				return nil, err
			}
			return r.Words(), nil
		},
		"durably": func(ctx context.Context) ([]string, error) {
			r, err := AckScript.SendDurably(ctx, c, Once, job.QueueSettings{}, []string{"k"}, resp.Command{"x", "1"})
			if err != nil {
				return nil, err
			}
			return r.Words(), nil
		},
	} {
		before := len(node.got())
		list, err := run(t.Context())
		if err != nil || !slices.Equal(list, []string{"a", "b"}) {
			t.Error(name, list, err)
		}
		got := node.got()[before:]
		if len(got) != 2 || got[0] != "evalsha "+AckScript.SHA+" 1 k x 1" || !strings.HasSuffix(got[1], " 1 k x 1") {
			t.Errorf("%s: %.99q", name, got)
		}
	}
	if _, err := AckScript.Word(t.Context(), c, Once, nil); err == nil || !strings.Contains(err.Error(), "ack") {
		t.Error("a list is no word:", err)
	}
	if got := ScriptName(AckScript.SHA); got != "ack" || ScriptName("other") != "eval" {
		t.Error(got)
	}
}

// A write that too few replicas confirm fails like one whose reply was lost.
func TestScriptWaitsForReplicas(t *testing.T) {
	t.Parallel()
	c, node := standalone(t, func(words []string) string {
		if words[0] == "wait" {
			return ":1\r\n"
		}
		return "+done\r\n"
	})
	for replicas, want := range map[int]error{1: nil, 2: job.ErrOutcomeUnknown} {
		_, err := AckScript.SendDurably(t.Context(), c, Once, job.QueueSettings{WaitReplicas: replicas}, nil, nil)
		wantErr(t, err, want)
	}
	if got := node.got(); len(got) != 4 || !strings.HasPrefix(got[1], "wait ") {
		t.Errorf("%q", got)
	}
}
