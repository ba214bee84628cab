package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// publishFlags are the flags of publish.
type publishFlags struct {
	queue, jobID, reportID, organizationID, gcsURI string
	scanners, attributes, state                    []string
	timeout                                        int32
	requestID, runAt, file, part                   string
	delay, waitTimeout                             time.Duration
	init, wait                                     bool
}

func (p *program) publish() *cobra.Command {
	var f publishFlags
	command, c := p.command(&cobra.Command{
		Use:   "publish",
		Short: "Publish a task, or many from a file",
		Long: `Publish a task made of the flags, or, with --file, one task for each line of a file:
JSON objects with the fields of the contract's Task ({"jobId": "…", "scanners": ["…"]}).
A line that is no task is reported with its number; the others are published, and the
exit code is 1.

A call that failed because the server or its Redis was away is repeated for up to 30
seconds, under a request id, so that no task is published twice. A --file prints its
request id first: with --request-id the same file goes on where it stopped, however it stopped.
With -o jsonl there is a line for each task, with its line in the file and the ids of its job
and message.`,
		Example: `  argus publish --job-id demo-1 --scanner trivy --wait
  argus publish --scanner trivy --scanner clamav --attribute team=red --delay 10m
  argus publish --job-id demo-2 --state priority=high
  argus publish --file tasks.jsonl
  generate-tasks | argus publish --file -`,
		Args: noArgsBut("argus publish --job-id %s"),
	}, func(ctx context.Context, c *client, _ []string) error {
		if !describesTask(c.flags) {
			return usageError(errors.New("want a task: name its job with --job-id, say what to do with --scanner, --gcs-uri or --attribute, or publish a file of tasks with --file"))
		}
		if f.file != "" {
			return c.publishFile(ctx, f)
		}
		return c.publishOne(ctx, f)
	})
	f.declare(command)
	c.connection()
	return command
}

// declare declares the flags.
func (f *publishFlags) declare(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.queue, "queue", "", "queue; empty means the server's default")
	flags.StringVar(&f.jobID, "job-id", "", "job id; empty lets the server make one")
	flags.StringVar(&f.reportID, "report-id", "", "report id")
	flags.StringVar(&f.organizationID, "organization-id", "", "organization id")
	flags.StringVar(&f.gcsURI, "gcs-uri", "", "where the input lies")
	flags.StringArrayVar(&f.scanners, "scanner", nil, "scanner to run; may be repeated")
	flags.Int32Var(&f.timeout, "timeout-seconds", 0, "how long the work may take")
	flags.StringVar(&f.part, "part", "", "the part of the job that the task is, of those that its state names")
	flags.StringArrayVar(&f.attributes, "attribute", nil, "further field, name=value; may be repeated")
	flags.BoolVar(&f.init, "init", false, "create the job's state in the same step")
	flags.StringArrayVar(&f.state, "state", nil, "field of the state to create, name=value; implies --init; may be repeated")
	flags.StringVar(&f.requestID, "request-id", "", "makes the call idempotent; with --file, the start of each batch's id")
	flags.DurationVar(&f.delay, "delay", 0, "deliver no sooner than this from now")
	flags.StringVar(&f.runAt, "run-at", "", "deliver no sooner than this time (RFC 3339)")
	flags.StringVar(&f.file, "file", "", "publish one task for each line of this file; - is the standard input")
	flags.BoolVar(&f.wait, "wait", false, "wait for the job, and end as watch does")
	flags.DurationVar(&f.waitTimeout, "wait-timeout", 0, "wait no longer than this; 0 means for ever")
	command.MarkFlagsMutuallyExclusive("delay", "run-at")
	for _, single := range []string{"job-id", "report-id", "organization-id", "gcs-uri", "scanner", "timeout-seconds", "attribute", "part", "init", "state", "delay", "run-at", "wait"} {
		command.MarkFlagsMutuallyExclusive("file", single)
	}
}

// describesTask is true when a flag says what to publish.
func describesTask(flags *pflag.FlagSet) bool {
	found := false
	flags.Visit(func(flag *pflag.Flag) {
		isElsewhere := len(flag.Annotations[envAnnotation]) > 0 // of the connection
		found = found || !isElsewhere && !slices.Contains([]string{"queue", "wait", "wait-timeout"}, flag.Name)
	})
	return found
}

func (f publishFlags) request() (*argusv1.PublishRequest, error) {
	attributes, err1 := pairs("--attribute", f.attributes)
	state, err2 := pairs("--state", f.state)
	if err := errors.Join(err1, err2); err != nil {
		return nil, usageError(err)
	}
	r := &argusv1.PublishRequest{Queue: f.queue, RequestId: f.requestID, Task: &argusv1.Task{
		JobId: f.jobID, ReportId: f.reportID, OrganizationId: f.organizationID, GcsUri: f.gcsURI,
		Scanners: f.scanners, TimeoutSeconds: f.timeout, Attributes: attributes, Part: f.part,
	}}
	if r.RequestId == "" {
		r.RequestId = uuid.NewString() // so that it can be repeated
	}
	if f.init || len(state) > 0 {
		r.InitialState = &argusv1.InitialState{Fields: state}
	}
	if f.delay != 0 {
		r.Delay = durationpb.New(f.delay)
	}
	if f.runAt != "" {
		at, err := time.Parse(time.RFC3339, f.runAt)
		if err != nil {
			return nil, usageError(fmt.Errorf("--run-at: %q is not a time in RFC 3339, such as 2026-01-02T15:04:05Z", f.runAt))
		}
		r.RunAt = timestamppb.New(at)
	}
	return r, nil
}

func (c *client) publishOne(ctx context.Context, f publishFlags) error {
	request, err := f.request()
	if err != nil {
		return err
	}
	var response *argusv1.PublishResponse
	err = c.retry(ctx, func() (err error) {
		response, err = c.queue.Publish(ctx, request)
		return err
	})
	if err != nil {
		return err
	}
	where := response.GetMessageId()
	switch {
	case where == "" && (f.delay != 0 || f.runAt != ""):
		where = "delayed"
	case where == "":
		where = "waits for its turn"
	}
	if response.GetDeduplicated() {
		where += " (published before)"
	}
	if err := c.print(response, []string{"JOB", "MESSAGE"}, []string{idText(response.GetJobId()), where}); err != nil || !f.wait {
		return err
	}
	return c.watchJobs(ctx, []string{response.GetJobId()}, watchOptions{timeout: f.waitTimeout,
		hint: func(ctx context.Context) string { return c.namedQueueHint(ctx, f.queue) }})
}

// How long a call that may be repeated is repeated, and how long between two tries.
const (
	retryFor   = 30 * time.Second
	retryPause = 250 * time.Millisecond
)

// retry repeats a call that is safe to repeat while it fails for a passing reason.
func (c *client) retry(ctx context.Context, call func() error) error {
	give := time.Now().Add(retryFor)
	for {
		err := call()
		if !c.transient(err) || time.Now().After(give) {
			return err
		}
		if !pause(ctx, retryPause) {
			return err
		}
	}
}

// pause waits; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
