package cli

import (
	"context"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/settings"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

func publishCommand(p *shell.Process) *cobra.Command {
	var f publishFlags
	help := &cobra.Command{
		Use:   "publish",
		Short: "Publish a task, or many from a file",
		Long: `Publish a task made of the flags, or, with --file, one task for each line of a file:
JSON objects with the fields of the contract's Task ({"jobId": "…", "scanners": ["…"]}).
A line that is no task is reported with its number; the others are published, and the
exit code is 1.

A call that fails because the server or its Redis is unavailable is repeated for up to 30
seconds, under a request id, so that no task is published twice. A --file prints its
request id first: the same file with that --request-id continues where it stopped, whatever
stopped it. With -o jsonl there is a line for each task, with its line in the file and the ids
of its job and message.`,
		Example: `  argus publish --job-id demo-1 --scanner trivy --wait
  argus publish --scanner trivy --scanner clamav --attribute team=red --delay 10m
  argus publish --job-id demo-2 --state priority=high
  argus publish --file tasks.jsonl
  generate-tasks | argus publish --file -`,
		Args: shell.NoArgsBut("argus publish --job-id %s"),
	}
	return client.Command{Help: help, Flags: func(flags *pflag.FlagSet) {
		f.declare(flags)
		f.exclude(help)
	}, Run: func(ctx context.Context, c *client.Client, _ []string) error {
		switch {
		case !describesTask(help.Flags()):
			return shell.Usagef("want a task: name its job with --job-id, say what to do with --scanner, --gcs-uri or --attribute, or publish a file of tasks with --file")
		case f.file != "":
			return publishFile(ctx, c, f)
		}
		return publishTask(ctx, c, f)
	}}.Cobra(p)
}

// describesTask reports whether a flag says what to publish.
func describesTask(flags *pflag.FlagSet) bool {
	found := false
	flags.Visit(func(flag *pflag.Flag) {
		isOfConnection := len(settings.Variables(flag)) > 0
		found = found || !isOfConnection && !slices.Contains([]string{"queue", "wait", "wait-timeout"}, flag.Name)
	})
	return found
}

// publishTask publishes the task that the flags describe and, with --wait, waits for its job.
func publishTask(ctx context.Context, c *client.Client, f publishFlags) error {
	request, err := f.request()
	if err != nil {
		return err
	}
	var response *argusv1.PublishResponse
	err = c.Retry(ctx, func() (err error) {
		response, err = c.Queue.Publish(ctx, request)
		return err
	})
	if err != nil {
		return err
	}
	err = c.Out.Print(response, []string{"JOB", "MESSAGE"}, []string{output.ID(response.GetJobId()), f.outcome(response)})
	if err != nil || !f.wait {
		return err
	}
	w := &watcher{Client: c, timeout: f.waitTimeout, hint: func(ctx context.Context) string { return queueNameHint(ctx, c, f.queue) }}
	return w.watch(ctx, []string{response.GetJobId()})
}

// outcome is the id of the published task's message, or why it has none yet.
func (f *publishFlags) outcome(r *argusv1.PublishResponse) string {
	text := r.GetMessageId()
	switch {
	case text == "" && (f.delay != 0 || f.runAt != ""):
		text = "delayed"
	case text == "":
		text = "waits for its turn"
	}
	if r.GetDeduplicated() {
		text += " (published before)"
	}
	return text
}
