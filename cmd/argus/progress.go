package main

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// progress shows how far a long work is: a bar on a terminal, else a line now and then.
type progress struct {
	to         io.Writer
	isTerminal bool
	total      int64 // bytes; 0 when unknown
	read       int64
	last       time.Time
	lastDone   int
	isShown    bool // the bar stands in the current line of the terminal
}

// How often a bar is drawn, and after how long or how many tasks there is a line.
const (
	barPeriod  = 100 * time.Millisecond
	linePeriod = 5 * time.Second
	lineTasks  = 20000
)

func newProgress(to io.Writer, total int64) *progress {
	return &progress{to: to, isTerminal: isTerminal(to), total: total, last: time.Now()}
}

// show says how many tasks are done, unless it was said just now.
func (p *progress) show(done int) {
	elapsed := time.Since(p.last)
	if p.isTerminal && elapsed < barPeriod || !p.isTerminal && elapsed < linePeriod && done-p.lastDone < lineTasks {
		return
	}
	p.last, p.lastDone = time.Now(), done
	switch {
	case p.isTerminal && p.total > 0:
		const width = 30
		bar := bytes.Repeat([]byte("#"), int(p.share()*width))
		fmt.Fprintf(p.to, "\r[%-*s] %3.0f%%  %d published", width, bar, p.share()*100, done)
		p.isShown = true
	case p.isTerminal:
		fmt.Fprintf(p.to, "\r%d published", done)
		p.isShown = true
	case p.total > 0:
		fmt.Fprintf(p.to, "argus publish: %d published so far (%.0f%%)\n", done, p.share()*100)
	default:
		fmt.Fprintf(p.to, "argus publish: %d published so far\n", done)
	}
}

func (p *progress) share() float64 { return min(1, float64(p.read)/float64(p.total)) }

// clear makes room for a line of text.
func (p *progress) clear() {
	if p.isShown {
		fmt.Fprint(p.to, "\r\x1b[K")
		p.isShown = false
	}
}
