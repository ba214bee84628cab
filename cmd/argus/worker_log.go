package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// workerLog is what a worker says of its work: lines for people, or JSON.
type workerLog struct {
	to    io.Writer
	json  *slog.Logger // nil for lines
	quiet bool         // only what went wrong is said
}

func newWorkerLog(to io.Writer, format string, quiet bool) (*workerLog, error) {
	l := &workerLog{to: to, quiet: quiet}
	switch format {
	case "text":
	case "json":
		l.json = slog.New(slog.NewJSONHandler(to, nil))
	default:
		return nil, usageError(fmt.Errorf("--log-format: %q is not one of text, json", format))
	}
	return l, nil
}

// info says what happened: line for people, event and its attributes as JSON.
func (l *workerLog) info(line, event string, attributes ...any) {
	switch {
	case l.quiet:
	case l.json != nil:
		l.json.Info(event, attributes...)
	default:
		fmt.Fprintln(l.to, "argus worker:", line)
	}
}

// warn says what went wrong, also when the worker is quiet.
func (l *workerLog) warn(line, event string, attributes ...any) {
	if l.json != nil {
		l.json.Warn(event, attributes...)
		return
	}
	fmt.Fprintln(l.to, "argus worker:", line)
}

// started says that a command runs for a task.
func (l *workerLog) started(d *argusv1.Delivery) {
	job, attempt := d.GetTask().GetJobId(), d.GetDeliveryAttempt()
	l.info(fmt.Sprintf("job %s: started, attempt %d", idText(job), attempt), "started",
		"job_id", job, "message_id", d.GetMessageId(), "attempt", attempt)
}

// ended says how a task ended, and why if it did not end well.
func (l *workerLog) ended(d *argusv1.Delivery, how outcome, took time.Duration, reason string) {
	job, word := d.GetTask().GetJobId(), outcomeWords[how]
	line := fmt.Sprintf("job %s: %s in %s", idText(job), word, took.Round(time.Millisecond))
	attributes := []any{"job_id", job, "message_id", d.GetMessageId(), "attempt", d.GetDeliveryAttempt(), "outcome", word, "duration_ms", took.Milliseconds()}
	if reason = oneLine(reason); reason != "" {
		line += ": " + reason
		attributes = append(attributes, "reason", reason)
	}
	l.info(line, "ended", attributes...)
}

// outcomeWords are the outcomes for people.
var outcomeWords = map[outcome]string{succeeded: "completed", failed: "failed", tryAgain: "to be retried", givenBack: "given back",
	unfit: "given back", leaseGone: "lost", cancelled: "cancelled"}

// summary says how many tasks ended how.
func (w *worker) summary() {
	completed, failed, retried, lost, cancelled := w.completed.Load(), w.failed.Load(), w.retried.Load(), w.lost.Load(), w.cancelled.Load()
	line := fmt.Sprintf("%d completed, %d failed, %d retried, %d lost", completed, failed, retried, lost)
	if cancelled > 0 {
		line += fmt.Sprintf(", %d cancelled", cancelled)
	}
	w.log.info(line, "stopped", "completed", completed, "failed", failed, "retried", retried, "lost", lost, "cancelled", cancelled)
}

// connectedTimeout is how long the server may take to say what its defaults are.
const connectedTimeout = 2 * time.Second

// sayConnected says once where the worker takes its tasks from. What it left to the server is
// asked for; a server that does not answer that leaves it unsaid.
func (w *worker) sayConnected(ctx context.Context) {
	if w.quiet {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, connectedTimeout)
	defer cancel()
	queue, group := w.queue, w.group
	if response, err := w.admin.GetQueue(ctx, &argusv1.GetQueueRequest{Queue: queue}); err == nil {
		queue = response.GetQueue().GetName()
	}
	if consumers, err := w.admin.ListConsumers(ctx, &argusv1.ListConsumersRequest{Queue: w.queue, Group: w.group}); err == nil && group == "" {
		for _, consumer := range consumers.GetConsumers() {
			if consumer.GetName() == w.consumer {
				group = consumer.GetGroup()
			}
		}
	}
	orDefault := func(name string) string {
		if name == "" {
			return "(the server's default)"
		}
		return idText(name)
	}
	w.log.info(fmt.Sprintf("connected to %s; queue %s, group %s, consumer %s", w.Addr, orDefault(queue), orDefault(group), idText(w.consumer)), "connected",
		"addr", w.Addr, "queue", queue, "group", group, "consumer", w.consumer, "concurrency", w.concurrency)
}
