package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// board shows the demo: redrawn in place on a terminal, plain lines elsewhere.
type board struct {
	mu      sync.Mutex
	to      io.Writer
	isLive  bool
	start   time.Time
	jobs    int
	sent    int
	retries int
	doing   []string                   // by worker; "" is idle
	results []*argusv1.CompletionEvent // in the order of their arrival
	lines   int                        // of the last frame
	stop    chan struct{}
	drawing sync.WaitGroup
	// close ends the drawing with a last frame. It may be called more than once.
	close func()
}

// framePeriod is the time between two frames.
const framePeriod = 100 * time.Millisecond

func newBoard(to io.Writer, jobs, workers int) *board {
	b := &board{to: to, isLive: shell.IsTerminal(to), start: time.Now(), jobs: jobs, doing: make([]string, workers), stop: make(chan struct{})}
	b.close = sync.OnceFunc(func() {
		close(b.stop)
		b.drawing.Wait()
		if b.isLive {
			b.draw()
		}
	})
	if b.isLive {
		b.drawing.Go(b.drawLoop)
	}
	return b
}

func (b *board) drawLoop() {
	ticker := time.NewTicker(framePeriod)
	defer ticker.Stop()
	for {
		b.draw()
		select {
		case <-ticker.C:
		case <-b.stop:
			return
		}
	}
}

// note prints a line where there is no live board. The caller holds the lock.
func (b *board) note(format string, args ...any) {
	if !b.isLive {
		fmt.Fprintf(b.to, "%6.2fs  "+format+"\n", append([]any{time.Since(b.start).Seconds()}, args...)...)
	}
}

func (b *board) published(job string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent++
	b.note("published %s", job)
}

func (b *board) works(worker int, what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.doing[worker] = what
	if what != "" {
		b.note("worker-%d  %s", worker+1, what)
	}
}

func (b *board) retried(job string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.retries++
	b.note("requeued for a retry: %s", job)
}

func (b *board) completed(e *argusv1.CompletionEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.results = append(b.results, e)
	b.note("%s", resultLine(e))
}

func resultLine(e *argusv1.CompletionEvent) string {
	return fmt.Sprintf("%s  %-9s  %s", e.GetJobId(), e.GetStatusText(), output.Fields(e.GetFields()))
}

// shownResults is how many results a frame shows.
const shownResults = 8

// frame returns the lines of a frame. The caller holds the lock.
func (b *board) frame() []string {
	busy := 0
	for _, what := range b.doing {
		if what != "" {
			busy++
		}
	}
	waiting := max(0, b.sent-len(b.results)-busy)
	lines := []string{
		fmt.Sprintf("argus demo  %5.1fs", time.Since(b.start).Seconds()), "",
		fmt.Sprintf("queue     %2d waiting  %s", waiting, strings.Repeat("■", min(waiting, 40))),
		fmt.Sprintf("published %2d of %d, %d in work, %d finished", b.sent, b.jobs, busy, len(b.results)), "",
	}
	for i, what := range b.doing {
		if what == "" {
			what = "idle"
		}
		lines = append(lines, fmt.Sprintf("worker-%-2d %s", i+1, what))
	}
	lines = append(lines, "", "completions")
	shown := b.results[max(0, len(b.results)-shownResults):]
	for i := range shownResults { // a frame always has the same number of lines
		text := ""
		if i < len(shown) {
			text = resultLine(shown[i])
		}
		lines = append(lines, "  "+text)
	}
	return lines
}

// drawnWidth is where a line is cut off: a line that wraps would break the frame.
const drawnWidth = 100

func (b *board) draw() {
	b.mu.Lock()
	defer b.mu.Unlock()
	var text strings.Builder
	if b.lines > 0 {
		fmt.Fprintf(&text, "\x1b[%dA", b.lines)
	}
	lines := b.frame()
	for _, line := range lines {
		if runes := []rune(output.Printable(line)); len(runes) > drawnWidth {
			line = string(runes[:drawnWidth-1]) + "…"
		}
		text.WriteString("\r" + line + "\x1b[K\n")
	}
	b.lines = len(lines)
	_, _ = io.WriteString(b.to, text.String())
}

// summary prints the counts.
func (b *board) summary(to io.Writer) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	counts := make(map[string]int)
	for _, e := range b.results {
		counts[e.GetStatusText()]++
	}
	_, err := fmt.Fprintf(to, "\n%d jobs in %.1f s: %d completed, %d failed; %d retries. Every job has one result.\n",
		len(b.results), time.Since(b.start).Seconds(), counts["completed"], counts["failed"], b.retries)
	return err
}
