package cli

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// On a terminal the progress is a bar, which is removed before other output.
func TestProgressBar(t *testing.T) {
	t.Parallel()
	var screen bytes.Buffer
	p := &progress{to: &screen, isTerminal: true, total: 100, read: 50}
	p.show(7)
	p.clear()
	p.clear()
	if want := "\r[" + strings.Repeat("#", 15) + strings.Repeat(" ", 15) + "]  50%  7 published\r\x1b[K"; screen.String() != want {
		t.Errorf("%q, want %q", &screen, want)
	}
	p = newProgress(io.Discard, 0)
	if p.show(1); p.lastDone != 0 {
		t.Error("a line for every task")
	}
}
