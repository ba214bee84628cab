package main

import (
	"bytes"
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

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// What ends a command before its time.
var (
	errTimeout   = errors.New("timed out")
	errLeaseGone = errors.New("the lease is lost")
	errCancelled = errors.New("the job is cancelled")
)

// notStarted is why a command can't be started on this machine, whatever the task.
type notStarted struct{ error }

// execute runs the command, renewing the lease meanwhile.
func (w *worker) execute(ctx context.Context, d *argusv1.Delivery) (how outcome, output, message string) {
	running, end := context.WithCancelCause(ctx)
	defer end(nil)
	if seconds := d.GetTask().GetTimeoutSeconds(); seconds > 0 {
		timer := time.AfterFunc(time.Duration(seconds)*time.Second, func() { end(errTimeout) })
		defer timer.Stop()
	}
	var heart sync.WaitGroup
	defer heart.Wait()
	beating, still := context.WithCancel(running)
	defer still()
	heart.Go(func() { w.heartbeat(beating, d, end) })

	var stdout, stderr tail
	stdout.keepHead, stdout.most, stderr.most = true, 64<<10, 16<<10
	err := w.start(running, d, &stdout, &stderr)
	message = strings.TrimSpace(stderr.String())
	var exit *exec.ExitError
	var unable notStarted
	switch cause := context.Cause(running); {
	case errors.Is(cause, errTimeout):
		return failed, "", fmt.Sprintf("%v after %d seconds", errTimeout, d.GetTask().GetTimeoutSeconds())
	case errors.Is(cause, errLeaseGone), errors.Is(cause, errCancelled):
		fmt.Fprintf(w.stderr, "argus worker: job %s: stopped, %v\n", printable(d.GetTask().GetJobId()), cause)
		return map[error]outcome{errLeaseGone: leaseGone, errCancelled: cancelled}[cause], "", ""
	case cause != nil:
		return givenBack, "", "the worker was stopped"
	case err == nil:
		return succeeded, clip(strings.TrimRight(stdout.String(), "\n"), 64<<10), ""
	case errors.As(err, &exit) && exit.ExitCode() == exitRetry:
		return tryAgain, "", message
	case errors.As(err, &unable):
		return unfit, "", err.Error()
	}
	if message == "" {
		message = err.Error()
	}
	return failed, "", message
}

// start runs the command to its end, and then kills what it left running. When ctx ends it
// is asked to stop, with all it has started, and killed a little later.
func (w *worker) start(ctx context.Context, d *argusv1.Delivery, stdout, stderr *tail) error {
	task := d.GetTask()
	input, err := toJSON(task, false)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, w.command[0], w.command[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = w.killDelay
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input+"\n"), stdout, stderr
	cmd.Env = append(os.Environ(),
		"ARGUS_JOB_ID="+task.GetJobId(), "ARGUS_REPORT_ID="+task.GetReportId(), "ARGUS_ORGANIZATION_ID="+task.GetOrganizationId(),
		"ARGUS_GCS_URI="+task.GetGcsUri(), "ARGUS_SCANNERS="+strings.Join(task.GetScanners(), ","),
		"ARGUS_PART="+task.GetPart(), "ARGUS_TIMEOUT_SECONDS="+strconv.Itoa(int(task.GetTimeoutSeconds())), "ARGUS_ATTEMPT="+strconv.Itoa(int(d.GetDeliveryAttempt())),
		"ARGUS_MESSAGE_ID="+d.GetMessageId(), "ARGUS_LEASE_TOKEN="+d.GetLeaseToken())
	if err := cmd.Start(); err != nil {
		var path *fs.PathError
		// A task too large for the environment, or with a zero byte, is the task's own fault.
		if errors.As(err, &path) && !errors.Is(err, syscall.E2BIG) && !errors.Is(err, syscall.EINVAL) {
			err = notStarted{err}
		}
		return err
	}
	err = cmd.Wait()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if errors.Is(err, exec.ErrWaitDelay) || errors.Is(err, syscall.EPIPE) { // it left its input unread
		err = nil
	}
	return err
}

// Bounds of how often a lease is renewed: three times within it. Only the difference of
// two clocks says how long it is, so the upper bound is what a default lease of a minute
// bears several times over.
const (
	minHeartbeat = 50 * time.Millisecond
	maxHeartbeat = 10 * time.Second
)

// heartbeat renews the lease until ctx ends, and ends the command when it is lost.
func (w *worker) heartbeat(ctx context.Context, d *argusv1.Delivery, end context.CancelCauseFunc) {
	every := min(max(time.Until(d.GetLeaseExpireTime().AsTime())/3, minHeartbeat), maxHeartbeat)
	for pause(ctx, every) {
		response, err := w.client.queue.ExtendLease(ctx, &argusv1.ExtendLeaseRequest{LeaseToken: d.GetLeaseToken()})
		switch {
		case isReason(err, "LEASE_LOST"):
			end(errLeaseGone)
			return
		case response.GetCancelRequested():
			end(errCancelled)
			return
		}
	}
}

// tail keeps the first or the last part of what is written to it.
type tail struct {
	bytes.Buffer
	keepHead bool
	most     int
}

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if t.keepHead {
		p = p[:min(len(p), t.most-t.Len())]
	}
	t.Buffer.Write(p)
	if extra := t.Len() - t.most; extra > 0 {
		t.Next(extra)
	}
	return n, nil
}
