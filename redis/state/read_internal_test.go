package state

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

func TestParseReply(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reply []string
		want  Stored
	}{
		"none": {[]string{"NONE"}, Stored{Verdict: "NONE"}},
		"fields": {[]string{"STATE", "1500", "running", "EVENTS", "status", "running", "n", "1"},
			Stored{Verdict: "STATE", ttl: 1500 * time.Millisecond, status: job.StatusRunning, hasEvents: true, Fields: map[string]string{"status": "running", "n": "1"}}},
		"no expiry": {[]string{"STATE", "-1", "", ""}, Stored{Verdict: "STATE", ttl: -1, Fields: map[string]string{}}},
		"large":     {[]string{"LARGE", "0", "pending", ""}, Stored{Verdict: Large, status: job.StatusPending, Fields: map[string]string{}}},
		"too large": {[]string{"TOO_LARGE", "-1", "", ""}, Stored{Verdict: TooLarge, ttl: -1, Fields: map[string]string{}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseReply(c.reply)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(Stored{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseReplyMalformed(t *testing.T) {
	t.Parallel()
	for _, reply := range [][]string{nil, {"STATE"}, {"STATE", "1", "", "", "name"}, {"STATE", "soon", "", ""}} {
		if _, err := ParseReply(reply); err == nil {
			t.Errorf("ParseReply(%q) succeeded", reply)
		}
	}
}

func TestScanToken(t *testing.T) {
	t.Parallel()
	for _, cursor := range []uint64{0, 1, 1 << 63} {
		got, err := parseScanToken(scanToken(cursor))
		if got != cursor || err != nil {
			t.Error(cursor, got, err)
		}
	}
	for _, token := range []string{"0", "x", "-1", "18446744073709551616"} {
		if _, err := parseScanToken(token); !errors.Is(err, job.ErrInvalid) {
			t.Error(token, err)
		}
	}
}

func TestFullErrorNamesTheLargestField(t *testing.T) {
	t.Parallel()
	err := FullError("fields", []string{"a", "1", "b", "22", "c", "3"})
	if !errors.Is(err, job.ErrInvalid) || !strings.HasPrefix(err.Error(), `fields["b"]: would make`) {
		t.Error(err)
	}
}
