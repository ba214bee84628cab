package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

func (p *program) stateCommands() *cobra.Command {
	command := &cobra.Command{
		Use:   "state",
		Short: "Read and write the state of jobs",
		Example: `  argus state get demo-1
  argus state set demo-1 status=running progress=50
  argus state ls`,
		RunE: needsCommand,
	}
	command.AddCommand(p.stateInit(), p.stateGet(), p.stateSet(), p.stateSetJSON(), p.stateRemove(), p.stateList())
	return command
}

// needsCommand is what a command says that is nothing by itself.
func needsCommand(command *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError(fmt.Errorf("unknown command %q", args[0]))
	}
	return command.Help()
}

func (p *program) stateInit() *cobra.Command {
	var fields, parts []string
	var ttl time.Duration
	var conflict string
	conflicts := map[string]argusv1.OnConflict{"fail": argusv1.OnConflict_ON_CONFLICT_FAIL,
		"keep": argusv1.OnConflict_ON_CONFLICT_KEEP, "replace": argusv1.OnConflict_ON_CONFLICT_REPLACE}
	command, c := p.command(&cobra.Command{
		Use:     "init JOB",
		Short:   "Create a job's state",
		Example: "  argus state init demo-1 --field priority=high --ttl 24h",
		Args:    exactly(1, "one job"),
	}, func(ctx context.Context, c *client, args []string) error {
		on, ok := conflicts[conflict]
		if !ok {
			return usageError(fmt.Errorf("--on-conflict: %q is not one of fail, keep, replace", conflict))
		}
		values, err := pairs("--field", fields)
		if err != nil {
			return err
		}
		request := &argusv1.InitRequest{JobId: args[0], Fields: values, OnConflict: on, Parts: parts}
		if ttl != 0 {
			request.Ttl = durationpb.New(ttl)
		}
		response, err := c.state.Init(ctx, request)
		if err != nil {
			return err
		}
		said := map[bool]string{true: "created", false: conflict}[response.GetCreated()]
		return c.print(response, []string{map[string]string{"created": "created", "keep": "kept the state that was there", "replace": "replaced the state that was there"}[said]})
	})
	command.Flags().StringArrayVar(&fields, "field", nil, "field, name=value; may be repeated")
	command.Flags().DurationVar(&ttl, "ttl", 0, "how long to keep it; 0 means the server's default")
	command.Flags().StringVar(&conflict, "on-conflict", "fail", "what to do when the job has a state: fail, keep or replace")
	command.Flags().StringArrayVar(&parts, "part", nil, "a part of the job that must report before it is done; may be repeated")
	c.connection()
	return command
}

func (p *program) stateGet() *cobra.Command {
	command, c := p.command(&cobra.Command{
		Use:   "get JOB [FIELD...]",
		Short: "Print a job's state, or some fields of it",
		Example: `  argus state get demo-1
  argus state get demo-1 status findings -o json`,
		Args: atLeast(1, "a job"),
	}, func(ctx context.Context, c *client, args []string) error {
		response, err := c.state.GetAll(ctx, &argusv1.GetAllRequest{JobId: args[0], Fields: args[1:]})
		if err != nil {
			return err
		}
		rows := fieldRows(response.GetFields())
		for name, value := range response.GetBinaryFields() {
			rows = append(rows, []string{name, fmt.Sprintf("%q", value)})
		}
		if err := c.print(response, rows...); err != nil {
			return err
		}
		return missingFields(args[0], args[1:], response)
	})
	c.connection()
	return command
}

// missingFields is the error of fields that were asked for and are not there.
func missingFields(job string, asked []string, r *argusv1.GetAllResponse) error {
	var missing []string
	for _, name := range asked {
		_, isText := r.GetFields()[name]
		_, isBinary := r.GetBinaryFields()[name]
		if !isText && !isBinary {
			missing = append(missing, strconv.Quote(name))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return codedError{code: exitNotFound, err: fmt.Errorf("the state of the job %s has no field %s (FIELD_NOT_FOUND)", idText(job), strings.Join(missing, ", "))}
}

func (p *program) stateSet() *cobra.Command {
	var token string
	command, c := p.command(&cobra.Command{
		Use:   "set JOB NAME=VALUE...",
		Short: "Write fields of a job's state",
		Example: `  argus state set demo-1 status=running progress=50
  argus state set demo-1 progress=60 --lease-token "$TOKEN"`,
		Args: atLeast(2, "a job and name=value"),
	}, func(ctx context.Context, c *client, args []string) error {
		fields, err := pairs("field", args[1:])
		if err != nil {
			return err
		}
		response, err := c.state.SetFields(ctx, &argusv1.SetFieldsRequest{JobId: args[0], Fields: fields, LeaseToken: token})
		if err != nil {
			return err
		}
		return c.print(response)
	})
	command.Flags().StringVar(&token, "lease-token", "", "write only while this lease is held")
	c.connection()
	return command
}

func (p *program) stateSetJSON() *cobra.Command {
	var token string
	command, c := p.command(&cobra.Command{
		Use:     "set-json JOB FIELD JSON",
		Short:   "Write a JSON value as a field of a job's state",
		Example: `  argus state set-json demo-1 summary '{"high": 1, "low": 20}'`,
		Args:    exactly(3, "a job, a field and JSON"),
	}, func(ctx context.Context, c *client, args []string) error {
		response, err := c.state.SetJSON(ctx, &argusv1.SetJSONRequest{JobId: args[0], Field: args[1],
			Input: &argusv1.SetJSONRequest_Json{Json: args[2]}, LeaseToken: token})
		if err != nil {
			return err
		}
		return c.print(response)
	})
	command.Flags().StringVar(&token, "lease-token", "", "write only while this lease is held")
	c.connection()
	return command
}

func (p *program) stateRemove() *cobra.Command {
	command, c := p.command(&cobra.Command{
		Use:     "rm JOB",
		Short:   "Remove a job's state",
		Example: "  argus state rm demo-1",
		Args:    exactly(1, "one job"),
	}, func(ctx context.Context, c *client, args []string) error {
		response, err := c.state.Delete(ctx, &argusv1.DeleteRequest{JobId: args[0]})
		if err != nil {
			return err
		}
		if !response.GetDeleted() {
			return codedError{code: exitNotFound, err: fmt.Errorf("no state is known of the job %s (JOB_NOT_FOUND)", idText(args[0]))}
		}
		return c.print(response)
	})
	c.connection()
	return command
}

func (p *program) stateList() *cobra.Command {
	command, c := p.command(&cobra.Command{
		Use:     "ls",
		Short:   "List the jobs that have a state",
		Example: "  argus state ls -o jsonl",
		Args:    noArgsBut("argus state get %s"),
	}, func(ctx context.Context, c *client, _ []string) error {
		if c.Output == "table" {
			if err := c.table([]string{fmt.Sprintf("%-9s", "STATUS"), "JOB"}); err != nil {
				return err
			}
		}
		_, err := c.eachJob(ctx, jobListFlags{}, func(job *argusv1.JobSummary) error {
			row := []string{fmt.Sprintf("%-10s", statusCell(job.GetStatus(), job.GetStatusText())), idText(job.GetJobId())}
			return c.print(job, row)
		})
		return err
	})
	c.connection()
	return command
}
