package output

import (
	"testing"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

func TestColoursOfATerminal(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env        map[string]string
		isTerminal bool
		want       bool
	}{
		"terminal":         {nil, true, true},
		"file":             {nil, false, false},
		"NO_COLOR":         {map[string]string{"NO_COLOR": "1"}, true, false},
		"an empty one":     {map[string]string{"NO_COLOR": ""}, true, true},
		"a plain terminal": {map[string]string{"TERM": "dumb"}, true, false},
	} {
		env := func(name string) (string, bool) { value, ok := c.env[name]; return value, ok }
		if got := hasColour(env, c.isTerminal); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// Only a status is coloured, and the columns stand below one another with colours as without.
func TestTableLayout(t *testing.T) {
	t.Parallel()
	rows := [][]string{{"STATUS", "JOB"}, {StatusCell(argusv1.JobStatus_JOB_STATUS_FAILED, ""), "failed"}, {StatusCell(0, "odd"), "é"}, {"\x1b[2J", "x"}}
	if got, want := layout(rows, false), "STATUS  JOB\nfailed  failed\nodd     é\n [2J    x\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := layout(rows, true), "STATUS  JOB\n\x1b[31mfailed\x1b[0m  failed\nodd     é\n [2J    x\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
