package cli

import (
	"bufio"
	"encoding/json"
	"fmt"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// countPublished counts the batch and, with -o jsonl, prints its tasks.
func (u *upload) countPublished(r *argusv1.PublishBatchResponse) error {
	if r.GetDeduplicated() {
		u.before += len(u.batch.tasks)
	} else {
		u.published += len(u.batch.tasks)
	}
	if u.Out.Format != output.JSONL {
		return nil
	}
	u.progress.clear()
	if err := u.printTasks(r); err != nil {
		return shell.ExitError{Code: shell.ExitFailure, Err: err}
	}
	return nil
}

// publishedTask is a line of the output with -o jsonl.
type publishedTask struct {
	Line            int    `json:"line"`
	JobID           string `json:"jobId"`
	MessageID       string `json:"messageId,omitempty"`
	PublishedBefore bool   `json:"publishedBefore,omitempty"`
}

// printTasks prints a line for each task of the batch.
func (u *upload) printTasks(r *argusv1.PublishBatchResponse) error {
	out := bufio.NewWriter(u.Stdout)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for i, number := range u.batch.lines {
		task := publishedTask{Line: number, JobID: at(r.GetJobIds(), i), MessageID: at(r.GetMessageIds(), i), PublishedBefore: r.GetDeduplicated()}
		if err := encoder.Encode(task); err != nil {
			return err
		}
	}
	return out.Flush()
}

// at returns an element of a list; "" beyond its end.
func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// printSummary prints the counts: on the standard error where the standard output has the tasks.
func (u *upload) printSummary() error {
	switch u.Out.Format {
	case output.JSON:
		return json.NewEncoder(u.Stdout).Encode(map[string]any{
			"published": u.published, "publishedBefore": u.before, "refused": u.refused, "unknown": len(u.unknown), "requestId": u.requestID,
		})
	case output.JSONL:
		_, err := fmt.Fprintln(u.Stderr, "argus publish:", u.summary())
		return err
	}
	_, err := fmt.Fprintln(u.Stdout, u.summary())
	return err
}

func (u *upload) summary() string {
	text := fmt.Sprintf("%d published", u.published)
	if u.before > 0 {
		text += fmt.Sprintf(", %d published before", u.before)
	}
	if n := len(u.unknown); n > 0 {
		text += fmt.Sprintf(", %d published or not (lines %d to %d: the server did not say)", n, u.unknown[0], u.unknown[n-1])
	}
	if u.refused > 0 {
		text += fmt.Sprintf(", %d refused", u.refused)
	}
	return text
}
