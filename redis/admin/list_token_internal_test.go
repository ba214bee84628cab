package admin

import (
	"errors"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

func TestFindSource(t *testing.T) {
	t.Parallel()
	sources := []taskSource{{name: "a"}, {name: "c"}, {name: "e"}}
	cases := map[string]struct {
		token string
		i     int
		after string
	}{
		"beginning":       {"", 0, ""},
		"first":           {listToken("a", "1-1"), 0, "1-1"},
		"middle":          {listToken("c", "x\x00y"), 1, "x\x00y"},
		"last, beginning": {listToken("e", ""), 2, ""},
		"deleted source":  {listToken("b", "1-1"), 1, ""},
		"deleted last":    {listToken("f", "1-1"), 3, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i, after, err := findSource(sources, c.token)
			if err != nil || i != c.i || after != c.after {
				t.Errorf("findSource = %d, %q, %v; want %d, %q", i, after, err, c.i, c.after)
			}
		})
	}
	for _, token := range []string{"x", "YQ", listToken("a", "1-1") + "=", "\n"} {
		if _, _, err := findSource(sources, token); !errors.Is(err, job.ErrInvalid) {
			t.Errorf("findSource(%q): %v", token, err)
		}
	}
}

func TestParseDue(t *testing.T) {
	t.Parallel()
	cases := map[string]dueCursor{
		"":                {due: "-inf"},
		"1700000000000 3": {due: "1700000000000", listed: 3},
		"1.5 0":           {due: "1.5"},
	}
	for text, want := range cases {
		if got, err := parseDue(text); got != want || err != nil {
			t.Errorf("parseDue(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{" ", "x", "1", "1 ", "1 -1", "1 x", "x 1"} {
		if _, err := parseDue(text); !errors.Is(err, job.ErrInvalid) {
			t.Errorf("parseDue(%q): %v", text, err)
		}
	}
}

// Tasks that are due at the same time are counted, so that none is listed twice.
func TestDueCursorNext(t *testing.T) {
	t.Parallel()
	cursor, err := parseDue("")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		score float64
		want  string
	}{{1700000000000, "1700000000000 1"}, {1700000000000, "1700000000000 2"}, {1700000000001, "1700000000001 1"}} {
		if cursor = cursor.next(step.score); cursor.String() != step.want {
			t.Errorf("next(%f) = %s, want %s", step.score, cursor, step.want)
		}
		if again, err := parseDue(cursor.String()); again != cursor || err != nil {
			t.Error(again, err)
		}
	}
}

func TestBacklogHead(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2000)
	cases := map[string]string{
		"3:org 00000000000001packed":     "3:org 00000000000001",
		"0: 00000000000001":              "0: 00000000000001",
		"3:org 0000000000000":            "3:org 0000000000000", // too short: kept as it is
		"-1:org 00000000000001" + "rest": "-1:org 00000000000001rest",
		long:                             long[:1024],
		"":                               "",
	}
	for member, want := range cases {
		if got := backlogHead(member); got != want {
			t.Errorf("backlogHead(%.40q) = %.40q, want %.40q", member, got, want)
		}
	}
}
