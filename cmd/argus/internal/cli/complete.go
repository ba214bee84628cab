package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// completeFlags are the flags of complete: a job's result.
type completeFlags struct {
	status, message, part string
	fields                []string
}

func completeCommand(p *shell.Process) *cobra.Command {
	var f completeFlags
	return client.Command{Help: &cobra.Command{
		Use:   "complete TOKEN",
		Short: "Record a job's result, and settle its task",
		Example: `  argus complete "$TOKEN" --field findings=3
  argus complete "$TOKEN" --status failed --error "no such image"`,
		Args: shell.Exactly(1, "one lease token"),
	}, Flags: f.declare, Run: func(ctx context.Context, c *client.Client, args []string) error {
		request, err := f.request(args[0])
		if err != nil {
			return err
		}
		return complete(ctx, c, request)
	}}.Cobra(p)
}

func (f *completeFlags) declare(flags *pflag.FlagSet) {
	flags.StringVar(&f.status, "status", "completed", "completed, partial, failed or cancelled")
	flags.StringArrayVar(&f.fields, "field", nil, "field of the result, name=value; may be repeated")
	flags.StringVar(&f.message, "error", "", "what went wrong")
	flags.StringVar(&f.part, "part", "", "the part of the job that this is the result of")
}

func (f *completeFlags) request(token string) (*argusv1.CompleteRequest, error) {
	status, statusErr := parseStatus(f.status)
	fields, fieldsErr := parsePairs("--field", f.fields)
	if err := errors.Join(statusErr, fieldsErr); err != nil {
		return nil, shell.UsageError(err)
	}
	return &argusv1.CompleteRequest{LeaseToken: token, Status: status, Fields: fields, ErrorMessage: f.message, Part: f.part}, nil
}

// complete records a result. Repeating it is safe: a job keeps its first result.
func complete(ctx context.Context, c *client.Client, request *argusv1.CompleteRequest) error {
	var response *argusv1.CompleteResponse
	err := c.Retry(ctx, func() (err error) {
		response, err = c.Queue.Complete(ctx, request)
		return err
	})
	if err != nil {
		return err
	}
	text := "recorded at " + response.GetCursor()
	if response.GetAlreadyCompleted() {
		text = "the job had its result already, at " + response.GetCursor()
	}
	return c.Out.Print(response, []string{text})
}
