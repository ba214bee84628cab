package main

import (
	"bufio"
	"encoding/json"
	"fmt"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// sent counts a batch, and prints its tasks if that was asked for.
func (u *upload) sent(r *argusv1.PublishBatchResponse) error {
	if r.GetDeduplicated() {
		u.before += len(u.batch)
	} else {
		u.published += len(u.batch)
	}
	return u.printTasks(r)
}

// summary prints the counts: on the standard error where the tasks themselves are printed.
func (u *upload) summary() error {
	if u.Output == "json" {
		return json.NewEncoder(u.stdout).Encode(map[string]any{
			"published": u.published, "publishedBefore": u.before, "refused": u.refused, "unknown": len(u.unknown), "requestId": u.id,
		})
	}
	text, to := fmt.Sprintf("%d published", u.published), u.stdout
	if u.Output == "jsonl" {
		text, to = "argus publish: "+text, u.stderr
	}
	if u.before > 0 {
		text += fmt.Sprintf(", %d published before", u.before)
	}
	if n := len(u.unknown); n > 0 {
		text += fmt.Sprintf(", %d published or not (lines %d to %d: the server did not say)", n, u.unknown[0], u.unknown[n-1])
	}
	if u.refused > 0 {
		text += fmt.Sprintf(", %d refused", u.refused)
	}
	_, err := fmt.Fprintln(to, text)
	return err
}

// publishedTask is a line of the output with -o jsonl.
type publishedTask struct {
	Line            int    `json:"line"`
	JobID           string `json:"jobId"`
	MessageID       string `json:"messageId,omitempty"`
	PublishedBefore bool   `json:"publishedBefore,omitempty"`
}

// printTasks prints the tasks of a batch with -o jsonl.
func (u *upload) printTasks(r *argusv1.PublishBatchResponse) error {
	if u.Output != "jsonl" {
		return nil
	}
	u.progress.clear()
	out := bufio.NewWriter(u.stdout)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for i, line := range u.lines {
		task := publishedTask{Line: line, JobID: at(r.GetJobIds(), i), MessageID: at(r.GetMessageIds(), i), PublishedBefore: r.GetDeduplicated()}
		if err := encoder.Encode(task); err != nil {
			return codedError{code: exitError, err: err}
		}
	}
	if err := out.Flush(); err != nil {
		return codedError{code: exitError, err: err}
	}
	return nil
}

// at is an element of a list, "" beyond its end.
func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}
