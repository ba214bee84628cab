package queue

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
)

// The loss of a stream or a group is logged if it was seen before, and lately.
func TestHistoryNoteHealth(t *testing.T) {
	t.Parallel()
	const lostStream, lostGroup = "stream was deleted", "group was deleted"
	type step struct {
		health string
		after  time.Duration
		want   string // in the log, "" for nothing
	}
	for name, steps := range map[string][]step{
		"created for the first time": {{health: conn.VerdictCreated}},
		"absent from the beginning":  {{health: conn.VerdictAbsent}, {health: conn.VerdictAbsent}},
		"healthy":                    {{}, {}, {}},
		"a lost group":               {{}, {health: conn.VerdictCreated, want: lostGroup}, {}, {health: conn.VerdictCreated, want: lostGroup}},
		"a lost stream":              {{}, {health: conn.VerdictAbsent, want: lostStream}, {health: conn.VerdictAbsent}},
		"created, then lost":         {{health: conn.VerdictCreated}, {health: conn.VerdictCreated, want: lostGroup}},
		"not seen for long":          {{}, {health: conn.VerdictAbsent, after: ConsumerIdle}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var text bytes.Buffer
				h, log := newHistory(), slog.New(slog.NewTextHandler(&text, nil))
				for i, s := range steps {
					time.Sleep(s.after)
					text.Reset()
					h.noteHealth(log, "queue", "group", s.health)
					h.noteHealth(log, "other", "group", "") // has no effect on the queue
					if got := text.String(); (got == "") != (s.want == "") || !strings.Contains(got, s.want) {
						t.Errorf("step %d, health %q: logged %q, want %q", i, s.health, got, s.want)
					}
				}
			})
		})
	}
}
