package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/settings"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// exitRetry is the exit code by which a command asks for a retry: EX_TEMPFAIL of sysexits.h.
const exitRetry = 75

// Why a command is stopped before its end.
var (
	errTimeout   = errors.New("timed out")
	errLeaseLost = errors.New("the lease is lost")
	errCancelled = errors.New("the job is cancelled")
)

// unfitError is the error of a command that can't be started on this machine, whatever the task.
type unfitError struct{ error }

// execute runs the command for a task, and renews the lease meanwhile.
func (w *worker) execute(ctx context.Context, d *argusv1.Delivery) execution {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if seconds := d.GetTask().GetTimeoutSeconds(); seconds > 0 {
		timer := time.AfterFunc(time.Duration(seconds)*time.Second, func() { stop(errTimeout) })
		defer timer.Stop()
	}
	var heart sync.WaitGroup
	defer heart.Wait()
	beating, stopHeart := context.WithCancel(running)
	defer stopHeart()
	heart.Go(func() { w.heartbeat(beating, d, stop) })

	stdout, stderr := tail{keepHead: true, most: maxStdout}, tail{most: 16 << 10}
	err := w.runCommand(running, d, &stdout, &stderr)
	if cause := context.Cause(running); cause != nil {
		return w.stopped(d, cause)
	}
	return ended(err, stdout.String(), strings.TrimSpace(stderr.String()))
}

// stopped is the execution of a command that was stopped.
func (w *worker) stopped(d *argusv1.Delivery, cause error) execution {
	outcomes := map[error]outcome{errLeaseLost: leaseLost, errCancelled: cancelled}
	switch {
	case errors.Is(cause, errTimeout):
		return execution{outcome: failed, message: fmt.Sprintf("%v after %d seconds", errTimeout, d.GetTask().GetTimeoutSeconds())}
	case errors.Is(cause, errLeaseLost), errors.Is(cause, errCancelled):
		job := d.GetTask().GetJobId()
		w.log.warn(fmt.Sprintf("job %s: stopped, %v", output.ID(job), cause), "stopped", "job_id", job, "reason", cause.Error())
		return execution{outcome: outcomes[cause]}
	}
	return execution{outcome: released, message: "the worker was stopped"}
}

// ended is the execution of a command that ended by itself, or did not start.
func ended(err error, stdout, stderr string) execution {
	var exit *exec.ExitError
	var unable unfitError
	switch {
	case err == nil:
		return execution{outcome: succeeded, stdout: clip(strings.TrimRight(stdout, "\n"), maxStdout)}
	case errors.As(err, &exit) && exit.ExitCode() == exitRetry:
		return execution{outcome: retried, message: stderr}
	case errors.As(err, &unable):
		return execution{outcome: unfit, message: err.Error()}
	case stderr == "":
		return execution{outcome: failed, message: err.Error()}
	}
	return execution{outcome: failed, message: stderr}
}

// runCommand runs the command to its end, and then kills the processes that it left. When ctx ends,
// the command and all its processes get SIGTERM, and SIGKILL after killDelay.
func (w *worker) runCommand(ctx context.Context, d *argusv1.Delivery, stdout, stderr *tail) error {
	input, err := output.Marshal(d.GetTask(), false)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, w.command[0], w.command[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = w.killDelay
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input+"\n"), stdout, stderr
	cmd.Env = append(settings.WithoutSecrets(os.Environ()), taskVariables(d)...)
	if err := cmd.Start(); err != nil {
		return startError(err)
	}
	err = cmd.Wait()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if errors.Is(err, exec.ErrWaitDelay) || errors.Is(err, syscall.EPIPE) { // it left its input unread
		err = nil
	}
	return err
}

// startError distinguishes a command that can't be started on this machine from a task that can't be
// passed to it, because it is too large for the environment or has a zero byte.
func startError(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) && !errors.Is(err, syscall.E2BIG) && !errors.Is(err, syscall.EINVAL) {
		return unfitError{err}
	}
	return err
}

// WorkerVariables are the environment variables that a worker sets for its command.
var WorkerVariables = []string{"ARGUS_JOB_ID", "ARGUS_REPORT_ID", "ARGUS_ORGANIZATION_ID", "ARGUS_GCS_URI", "ARGUS_SCANNERS",
	"ARGUS_PART", "ARGUS_TIMEOUT_SECONDS", "ARGUS_ATTEMPT", "ARGUS_MESSAGE_ID", "ARGUS_LEASE_TOKEN"}

// taskVariables are WorkerVariables with their values.
func taskVariables(d *argusv1.Delivery) []string {
	task := d.GetTask()
	return []string{"ARGUS_JOB_ID=" + task.GetJobId(), "ARGUS_REPORT_ID=" + task.GetReportId(), "ARGUS_ORGANIZATION_ID=" + task.GetOrganizationId(),
		"ARGUS_GCS_URI=" + task.GetGcsUri(), "ARGUS_SCANNERS=" + strings.Join(task.GetScanners(), ","),
		"ARGUS_PART=" + task.GetPart(), "ARGUS_TIMEOUT_SECONDS=" + strconv.Itoa(int(task.GetTimeoutSeconds())), "ARGUS_ATTEMPT=" + strconv.Itoa(int(d.GetDeliveryAttempt())),
		"ARGUS_MESSAGE_ID=" + d.GetMessageId(), "ARGUS_LEASE_TOKEN=" + d.GetLeaseToken()}
}
