package cli

import (
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
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

func (f *publishFlags) declare(flags *pflag.FlagSet) {
	flags.StringVar(&f.queue, "queue", "", "queue; empty means the server's default")
	flags.StringVar(&f.jobID, "job-id", "", "job id; without it the server makes one")
	flags.StringVar(&f.reportID, "report-id", "", "report id")
	flags.StringVar(&f.organizationID, "organization-id", "", "organization id")
	flags.StringVar(&f.gcsURI, "gcs-uri", "", "location of the input")
	flags.StringArrayVar(&f.scanners, "scanner", nil, "scanner to run; may be repeated")
	flags.Int32Var(&f.timeout, "timeout-seconds", 0, "maximum duration of the work")
	flags.StringVar(&f.part, "part", "", "the part of the job that the task is, of those that its state names")
	flags.StringArrayVar(&f.attributes, "attribute", nil, "further field, name=value; may be repeated")
	flags.BoolVar(&f.init, "init", false, "create the job's state in the same step")
	flags.StringArrayVar(&f.state, "state", nil, "field of the state to create, name=value; implies --init; may be repeated")
	flags.StringVar(&f.requestID, "request-id", "", "makes the call idempotent; with --file, the start of each batch's id")
	flags.DurationVar(&f.delay, "delay", 0, "minimum time until the delivery")
	flags.StringVar(&f.runAt, "run-at", "", "earliest time of the delivery (RFC 3339)")
	flags.StringVar(&f.file, "file", "", "publish one task for each line of this file; - is the standard input")
	flags.BoolVar(&f.wait, "wait", false, "wait for the job, and end as watch does")
	flags.DurationVar(&f.waitTimeout, "wait-timeout", 0, "maximum time to wait; 0 means no limit")
}

// exclude declares which flags do not go together.
func (f *publishFlags) exclude(command *cobra.Command) {
	command.MarkFlagsMutuallyExclusive("delay", "run-at")
	for _, single := range []string{"job-id", "report-id", "organization-id", "gcs-uri", "scanner", "timeout-seconds", "attribute", "part", "init", "state", "delay", "run-at", "wait"} {
		command.MarkFlagsMutuallyExclusive("file", single)
	}
}

// request makes the request of a single task. It always has a request id, so that it can be
// repeated.
func (f *publishFlags) request() (*argusv1.PublishRequest, error) {
	attributes, attributesErr := parsePairs("--attribute", f.attributes)
	state, stateErr := parsePairs("--state", f.state)
	if err := errors.Join(attributesErr, stateErr); err != nil {
		return nil, shell.UsageError(err)
	}
	r := &argusv1.PublishRequest{Queue: f.queue, RequestId: f.requestID, Task: &argusv1.Task{
		JobId: f.jobID, ReportId: f.reportID, OrganizationId: f.organizationID, GcsUri: f.gcsURI,
		Scanners: f.scanners, TimeoutSeconds: f.timeout, Attributes: attributes, Part: f.part,
	}}
	if r.RequestId == "" {
		r.RequestId = uuid.NewString()
	}
	if f.init || len(state) > 0 {
		r.InitialState = &argusv1.InitialState{Fields: state}
	}
	return r, f.schedule(r)
}

// schedule sets the time of the delivery.
func (f *publishFlags) schedule(r *argusv1.PublishRequest) error {
	if f.delay != 0 {
		r.Delay = durationpb.New(f.delay)
	}
	if f.runAt == "" {
		return nil
	}
	at, err := time.Parse(time.RFC3339, f.runAt)
	if err != nil {
		return shell.Usagef("--run-at: %q is not a time in RFC 3339, such as 2026-01-02T15:04:05Z", f.runAt)
	}
	r.RunAt = timestamppb.New(at)
	return nil
}
