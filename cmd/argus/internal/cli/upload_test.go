package cli_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/cli"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

func TestPublishFile(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	var file strings.Builder
	for i := range 1200 { // several batches
		fmt.Fprintf(&file, `{"jobId":"j-%d","scanners":["trivy"]}`+"\n", i)
	}
	file.WriteString("\nnonsense\n" + `{"jobId":"bad{"}` + "\n" + `{"unknown":1}` + "\n" + `{"jobId":"last"}`)
	path := argustest.WriteFile(t, "tasks.jsonl", file.String())
	out, text := c.Run(shell.ExitFailure, "publish", "--file", path, "--request-id", "upload")
	if out != "1201 published, 3 refused\n" {
		t.Error(out)
	}
	for _, want := range []string{path + ":1202: ", path + ":1203: ", path + ":1204: ", "3 of 1204 lines were refused"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	jobs := make(map[string]bool)
	for len(jobs) < 1201 {
		out, _ := c.Run(0, "read", "--max", "1000", "--wait", "0s", "-o", "jsonl")
		if out == "" {
			break
		}
		for line := range strings.Lines(out) {
			var d struct{ Task struct{ JobID string } }
			if err := json.Unmarshal([]byte(line), &d); err != nil || jobs[d.Task.JobID] {
				t.Fatal(line, err)
			}
			jobs[d.Task.JobID] = true
		}
	}
	if len(jobs) != 1201 || !jobs["last"] || !jobs["j-0"] {
		t.Error(len(jobs), "tasks")
	}
	// Once more under the same id: nothing is published twice.
	out, _ = c.Run(shell.ExitFailure, "publish", "--file", path, "--request-id", "upload", "-o", "json")
	if out != `{"published":0,"publishedBefore":1201,"refused":3,"requestId":"upload","unknown":0}`+"\n" {
		t.Error(out)
	}
	// So it is with a file whose refused lines were corrected: that is a conflict.
	corrected := argustest.WriteFile(t, "corrected.jsonl", strings.ReplaceAll(strings.ReplaceAll(file.String(), "nonsense", "{}"), "bad{", "good"))
	out, text = c.Run(shell.ExitFailure, "publish", "--file", corrected, "--request-id", "upload")
	if out != "0 published, 1000 published before, 1 refused\n" || !strings.Contains(text, "lines 1001 to 1500 differ from what was published") {
		t.Error(out, text)
	}
	if out, _ := c.Run(0, "read", "--wait", "0s", "-o", "jsonl"); out != "" {
		t.Error("published twice:", out)
	}
	if _, text := c.Run(shell.ExitUsage, "publish", "--file", corrected, "--queue", "bad{"); strings.Count(text, "\n") != 2 || !strings.Contains(text, "argus publish: queue: must not") {
		t.Error("what is wrong with all lines was not said once:", text)
	}
}

// With -o jsonl there is a line for each task, with the id that the server made.
func TestPublishFilePrintsItsTasks(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	file := argustest.WriteFile(t, "tasks.jsonl", "{}\n\nnonsense\n"+`{"jobId":"mine"}`+"\n{}\n")
	for i := range 2 {
		out, text := c.Run(shell.ExitFailure, "publish", "--file", file, "--request-id", "up", "-o", "jsonl")
		var lines []int
		for line := range strings.Lines(out) {
			var task cli.PublishedTask
			if err := json.Unmarshal([]byte(line), &task); err != nil || task.JobID == "" || task.MessageID == "" || task.PublishedBefore != (i == 1) {
				t.Error(line, err)
			}
			if (task.JobID == "mine") != (task.Line == 4) {
				t.Error("another line's:", line)
			}
			lines = append(lines, task.Line)
			if i == 1 {
				continue
			}
			if job, _ := c.Run(0, "job", "show", task.JobID); !strings.Contains(job, task.MessageID) {
				t.Error(line, job)
			}
		}
		if fmt.Sprint(lines) != "[1 4 5]" {
			t.Error(lines)
		}
		if want := []string{"argus publish: 3 published, 1 refused\n", "argus publish: 0 published, 3 published before, 1 refused\n"}[i]; !strings.Contains(text, want) {
			t.Errorf("%s lacks %q", text, want)
		}
	}
}

// Without a terminal the progress is a line for every 20,000 tasks.
func TestPublishFileShowsItsProgress(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	_, text := c.Run(0, "publish", "--file", argustest.WriteFile(t, "tasks.jsonl", strings.Repeat("{}\n", 25000)))
	if !regexp.MustCompile(`(?m)^argus publish: \d+ published so far \(\d+%\)$`).MatchString(text) {
		t.Error(text)
	}
}
