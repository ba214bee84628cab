package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// initFlags are the flags of state init.
type initFlags struct {
	fields, parts []string
	ttl           time.Duration
	onConflict    string
}

func stateInit(p *shell.Process) *cobra.Command {
	var f initFlags
	return client.Command{Help: &cobra.Command{
		Use:     "init JOB",
		Short:   "Create a job's state",
		Example: "  argus state init demo-1 --field priority=high --ttl 24h",
		Args:    shell.Exactly(1, "one job"),
	}, Flags: f.declare, Run: func(ctx context.Context, c *client.Client, args []string) error {
		request, err := f.request(args[0])
		if err != nil {
			return err
		}
		response, err := c.State.Init(ctx, request)
		if err != nil {
			return err
		}
		return c.Out.Print(response, []string{f.outcome(response.GetCreated())})
	}}.Cobra(p)
}

func (f *initFlags) declare(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.fields, "field", nil, "field, name=value; may be repeated")
	flags.DurationVar(&f.ttl, "ttl", 0, "how long to keep it; 0 means the server's default")
	flags.StringVar(&f.onConflict, "on-conflict", "fail", "what to do when the job has a state: fail, keep or replace")
	flags.StringArrayVar(&f.parts, "part", nil, "a part of the job that must report before it is done; may be repeated")
}

func (f *initFlags) request(job string) (*argusv1.InitRequest, error) {
	onConflict, ok := map[string]argusv1.OnConflict{"fail": argusv1.OnConflict_ON_CONFLICT_FAIL,
		"keep": argusv1.OnConflict_ON_CONFLICT_KEEP, "replace": argusv1.OnConflict_ON_CONFLICT_REPLACE}[f.onConflict]
	if !ok {
		return nil, shell.Usagef("--on-conflict: %q is not one of fail, keep, replace", f.onConflict)
	}
	fields, err := parsePairs("--field", f.fields)
	request := &argusv1.InitRequest{JobId: job, Fields: fields, OnConflict: onConflict, Parts: f.parts}
	if f.ttl != 0 {
		request.Ttl = durationpb.New(f.ttl)
	}
	return request, err
}

// outcome says the outcome of the state.
func (f *initFlags) outcome(created bool) string {
	switch {
	case created:
		return "created"
	case f.onConflict == "keep":
		return "kept the state that was there"
	}
	return "replaced the state that was there"
}

func stateSet(p *shell.Process) *cobra.Command {
	var token string
	return client.Command{Help: &cobra.Command{
		Use:   "set JOB NAME=VALUE...",
		Short: "Write fields of a job's state",
		Example: `  argus state set demo-1 status=running progress=50
  argus state set demo-1 progress=60 --lease-token "$TOKEN"`,
		Args: shell.AtLeast(2, "a job and name=value"),
	}, Flags: func(flags *pflag.FlagSet) {
		flags.StringVar(&token, "lease-token", "", "write only while this lease is held")
	}, Run: func(ctx context.Context, c *client.Client, args []string) error {
		fields, err := parsePairs("field", args[1:])
		if err != nil {
			return err
		}
		response, err := c.State.SetFields(ctx, &argusv1.SetFieldsRequest{JobId: args[0], Fields: fields, LeaseToken: token})
		if err != nil {
			return err
		}
		return c.Out.Print(response)
	}}.Cobra(p)
}

func stateSetJSON(p *shell.Process) *cobra.Command {
	var token string
	return client.Command{Help: &cobra.Command{
		Use:     "set-json JOB FIELD JSON",
		Short:   "Write a JSON value as a field of a job's state",
		Example: `  argus state set-json demo-1 summary '{"high": 1, "low": 20}'`,
		Args:    shell.Exactly(3, "a job, a field and JSON"),
	}, Flags: func(flags *pflag.FlagSet) {
		flags.StringVar(&token, "lease-token", "", "write only while this lease is held")
	}, Run: func(ctx context.Context, c *client.Client, args []string) error {
		response, err := c.State.SetJSON(ctx, &argusv1.SetJSONRequest{JobId: args[0], Field: args[1],
			Input: &argusv1.SetJSONRequest_Json{Json: args[2]}, LeaseToken: token})
		if err != nil {
			return err
		}
		return c.Out.Print(response)
	}}.Cobra(p)
}
