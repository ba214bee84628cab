package cli

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// workerLog is the log of a worker: lines for people, or JSON.
type workerLog struct {
	to    io.Writer
	json  *slog.Logger // nil for lines
	quiet bool         // only warnings
}

func newWorkerLog(to io.Writer, format string, quiet bool) (*workerLog, error) {
	l := &workerLog{to: to, quiet: quiet}
	switch format {
	case "text":
	case "json":
		l.json = slog.New(slog.NewJSONHandler(to, nil))
	default:
		return nil, shell.Usagef("--log-format: %q is not one of text, json", format)
	}
	return l, nil
}

// info logs an event: line for people, event and its attributes as JSON.
func (l *workerLog) info(line, event string, attributes ...any) {
	switch {
	case l.quiet:
	case l.json != nil:
		l.json.Info(event, attributes...)
	default:
		fmt.Fprintln(l.to, "argus worker:", line)
	}
}

// warn logs a warning, also when the worker is quiet.
func (l *workerLog) warn(line, event string, attributes ...any) {
	if l.json != nil {
		l.json.Warn(event, attributes...)
		return
	}
	fmt.Fprintln(l.to, "argus worker:", line)
}

// started logs the start of a task.
func (l *workerLog) started(d *argusv1.Delivery) {
	job, attempt := d.GetTask().GetJobId(), d.GetDeliveryAttempt()
	l.info(fmt.Sprintf("job %s: started, attempt %d", output.ID(job), attempt), "started",
		"job_id", job, "message_id", d.GetMessageId(), "attempt", attempt)
}

// ended logs the end of a task; reason is why it did not complete.
func (l *workerLog) ended(d *argusv1.Delivery, how outcome, took time.Duration, reason string) {
	job, word := d.GetTask().GetJobId(), outcomeWords[how]
	line := fmt.Sprintf("job %s: %s in %s", output.ID(job), word, took.Round(time.Millisecond))
	attributes := []any{"job_id", job, "message_id", d.GetMessageId(), "attempt", d.GetDeliveryAttempt(), "outcome", word, "duration_ms", took.Milliseconds()}
	if reason = output.OneLine(reason); reason != "" {
		line += ": " + reason
		attributes = append(attributes, "reason", reason)
	}
	l.info(line, "ended", attributes...)
}

// summary logs how many tasks had which outcome.
func (l *workerLog) summary(c *outcomeCounts) {
	completed, failed, retried, lost, cancelled := c.completed.Load(), c.failed.Load(), c.retried.Load(), c.lost.Load(), c.cancelled.Load()
	line := fmt.Sprintf("%d completed, %d failed, %d retried, %d lost", completed, failed, retried, lost)
	if cancelled > 0 {
		line += fmt.Sprintf(", %d cancelled", cancelled)
	}
	l.info(line, "stopped", "completed", completed, "failed", failed, "retried", retried, "lost", lost, "cancelled", cancelled)
}
