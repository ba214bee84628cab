package cli

import (
	"context"
	"os/exec"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

// workerFlags are the flags of worker, and the command that it runs.
type workerFlags struct {
	queue, group, consumer string
	command                []string
	concurrency            int
	retryDelay             time.Duration
	drainTimeout           time.Duration
	logFormat              string
	quiet                  bool
}

func workerCommand(p *shell.Process) *cobra.Command {
	var f workerFlags
	return client.Command{Help: &cobra.Command{
		Use:   "worker [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a command for each task",
		Long: `Run a command for each task. It gets the task as JSON on its standard input, and in its
environment ARGUS_JOB_ID, ARGUS_REPORT_ID, ARGUS_ORGANIZATION_ID, ARGUS_GCS_URI,
ARGUS_SCANNERS (separated by commas), ARGUS_PART, ARGUS_TIMEOUT_SECONDS, ARGUS_ATTEMPT,
ARGUS_MESSAGE_ID and ARGUS_LEASE_TOKEN. While it runs, the worker renews the lease.

The command's exit code is the job's result:
  exit 0    completed; the first 64 KiB of its standard output are the field "output"
  exit 75   retried later; failed when the queue gives the task up
  another   failed; the end of its standard error is the error message
A command that runs longer than the task's timeout_seconds is stopped, and the job fails. A
command is also stopped when its lease is lost, and when the job's state becomes "cancelled",
which then is the result. Processes that a command leaves in the background are killed when
it ends. If the worker itself is killed, its command may continue; the task is delivered again
when its lease has expired.

Quote what comes from a task: a command in a shell says "$ARGUS_JOB_ID", with the quotes, and
puts -- before a value that may begin with a dash: grep -- "$ARGUS_SCANNERS" list. The secrets
of this program (its token, passwords, and the files that hold them or keys) are not passed on.

The worker logs to its standard error when it connects, and when a task starts and ends;
--quiet leaves only warnings.

On SIGTERM or ^C the worker takes no more tasks and lets the running commands finish; after
--drain-timeout, or at a second ^C, it stops them and gives their tasks back.`,
		Example: `  argus worker -- ./scan.sh
  argus worker --concurrency 4 --queue nightly -- python3 scan.py --fast
  argus worker -- sh -c 'echo "$ARGUS_JOB_ID: $ARGUS_SCANNERS"'`,
		Args: shell.AtLeast(1, "a command after --"),
	}, Flags: f.declare, Run: func(ctx context.Context, c *client.Client, args []string) error {
		f.command = args
		w, err := newWorker(c, f)
		if err != nil {
			return err
		}
		return w.run(ctx)
	}}.Cobra(p)
}

func (f *workerFlags) declare(flags *pflag.FlagSet) {
	flags.StringVar(&f.queue, "queue", "", "queue; empty means the server's default")
	flags.StringVar(&f.group, "group", "", "consumer group; empty means the server's default")
	flags.StringVar(&f.consumer, "consumer", DefaultConsumer(), "this worker's name")
	flags.IntVar(&f.concurrency, "concurrency", 1, "number of commands that run at once")
	flags.DurationVar(&f.retryDelay, "retry-delay", 0, "time until a task is retried; 0 means the queue's back-off")
	flags.DurationVar(&f.drainTimeout, "drain-timeout", 30*time.Second, "how long running commands may take after SIGTERM")
	flags.BoolVar(&f.quiet, "quiet", false, "log only warnings")
	flags.StringVar(&f.logFormat, "log-format", "text", "format of the log: text, or json (one object a line)")
}

// newWorker checks the flags and makes a worker.
func newWorker(c *client.Client, f workerFlags) (*worker, error) {
	if f.concurrency < 1 {
		return nil, shell.Usagef("--concurrency: must be at least 1")
	}
	if _, err := exec.LookPath(f.command[0]); err != nil {
		return nil, shell.Usagef("command: %w", err)
	}
	log, err := newWorkerLog(c.Stderr, f.logFormat, f.quiet)
	if err != nil {
		return nil, err
	}
	return &worker{Client: c, workerFlags: f, log: log, killDelay: 5 * time.Second}, nil
}
