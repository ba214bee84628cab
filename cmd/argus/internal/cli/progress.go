package cli

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

// progress shows how far an upload is: a bar on a terminal, else a line from time to time.
type progress struct {
	to         io.Writer
	isTerminal bool
	total      int64 // bytes; 0 when unknown
	read       int64
	last       time.Time
	lastDone   int
	isShown    bool // the current line of the terminal has the bar
}

// How often the bar is drawn, and after which time or how many tasks a line is printed.
const (
	barPeriod  = 100 * time.Millisecond
	linePeriod = 5 * time.Second
	lineTasks  = 20000
)

func newProgress(to io.Writer, total int64) *progress {
	return &progress{to: to, isTerminal: shell.IsTerminal(to), total: total, last: time.Now()}
}

// show shows how many tasks are done, unless it did so a moment ago.
func (p *progress) show(done int) {
	if !p.isDue(done) {
		return
	}
	p.last, p.lastDone = time.Now(), done
	switch {
	case p.isTerminal && p.total > 0:
		const width = 30
		bar := bytes.Repeat([]byte("#"), int(p.share()*width))
		fmt.Fprintf(p.to, "\r[%-*s] %3.0f%%  %d published", width, bar, p.share()*100, done)
	case p.isTerminal:
		fmt.Fprintf(p.to, "\r%d published", done)
	case p.total > 0:
		fmt.Fprintf(p.to, "argus publish: %d published so far (%.0f%%)\n", done, p.share()*100)
	default:
		fmt.Fprintf(p.to, "argus publish: %d published so far\n", done)
	}
	p.isShown = p.isTerminal
}

func (p *progress) isDue(done int) bool {
	elapsed := time.Since(p.last)
	if p.isTerminal {
		return elapsed >= barPeriod
	}
	return elapsed >= linePeriod || done-p.lastDone >= lineTasks
}

func (p *progress) share() float64 { return min(1, float64(p.read)/float64(p.total)) }

// clear removes the bar, so that a line can be printed.
func (p *progress) clear() {
	if p.isShown {
		fmt.Fprint(p.to, "\r\x1b[K")
		p.isShown = false
	}
}
