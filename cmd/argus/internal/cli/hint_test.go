package cli_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/cli"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// hints returns the hints for a publish --wait into the default queue, and for a watch.
func hints(c *argustest.CLI, job string) (queue, watch string) {
	c.T.Helper()
	help := &cobra.Command{Use: "hints", SilenceErrors: true, SilenceUsage: true}
	command := client.Command{Help: help, Run: func(ctx context.Context, cl *client.Client, _ []string) error {
		queue, watch = cli.QueueNameHint(ctx, cl, ""), cli.JobHint(ctx, cl, job)
		return nil
	}}.Cobra(&shell.Process{Env: c.Env, Stdout: io.Discard, Stderr: io.Discard})
	command.SetArgs(nil)
	if err := command.ExecuteContext(c.Ctx); err != nil {
		c.T.Fatal(err)
	}
	return queue, watch
}

// A wait for a job that no worker takes prints a hint how to start a worker.
func TestWaitWithoutAWorker(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	for _, args := range [][]string{{"publish", "--job-id", "job", "--wait"}, {"watch", "job"}, {"await", "job"}} {
		ctx, cancel := context.WithCancel(c.Ctx)
		var out, stderr argustest.Buffer
		ended := make(chan int, 1)
		go func() { ended <- argustest.Run(ctx, args, c.Env, &out, &stderr) }()
		want := "argus " + args[0] + ": no worker reads the queue argus_task_queue; start one: argus worker --queue argus_task_queue --addr " + c.Addr + " -- echo done\n"
		c.Await("the hint of "+args[0], func() bool { return stderr.String() == want })
		cancel()
		<-ended
	}
	argustest.StartWorker(t, c.Addr, "--", "true") // as it says
	c.Run(0, "await", "job")
}

// There is no hint while a worker is there, or when the job does not wait.
func TestWaitWithAWorker(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	say := func(when, wantQueue, wantWatch string) {
		t.Helper()
		queue, watch := hints(c, "job")
		if !strings.HasPrefix(queue, wantQueue) || wantQueue == "" && queue != "" || !strings.HasPrefix(watch, wantWatch) || wantWatch == "" && watch != "" {
			t.Errorf("%s: %q and %q", when, queue, watch)
		}
	}
	say("nothing was published", "", "")
	c.Run(0, "publish", "--job-id", "later", "--delay", "1h")
	say("a task is delayed", "", "")
	c.Run(0, "publish", "--job-id", "other")
	say("another job waits", "no worker reads the queue", "")
	c.Run(0, "publish", "--job-id", "job")
	say("the job waits", "no worker reads the queue", "no worker reads the queue")
	c.Run(0, "queue", "pause")
	say("the queue is paused", "the queue argus_task_queue is paused; to resume: argus queue resume argus_task_queue", "the queue argus_task_queue is paused")
	c.Run(0, "queue", "resume")
	token := c.Token("w")
	say("a worker has just asked, and works", "", "")
	c.Run(0, "complete", token)
	say("a worker has just asked", "", "")
}

// quietQueue is a server whose queue has a task that waits, and a worker that asked for tasks long
// ago.
type quietQueue struct {
	argusv1.UnimplementedAdminServer
	idle  time.Duration
	place argusv1.TaskPlace // of what the worker has; 0 for nothing
}

func (q *quietQueue) GetQueue(context.Context, *argusv1.GetQueueRequest) (*argusv1.GetQueueResponse, error) {
	return &argusv1.GetQueueResponse{Queue: &argusv1.Queue{Name: "night shift", Waiting: 1}}, nil
}

func (q *quietQueue) ListConsumers(context.Context, *argusv1.ListConsumersRequest) (*argusv1.ListConsumersResponse, error) {
	consumers := []*argusv1.Consumer{{Idle: durationpb.New(time.Hour)}, {Idle: durationpb.New(q.idle)}}
	return &argusv1.ListConsumersResponse{Consumers: consumers}, nil
}

func (q *quietQueue) ListTasks(_ context.Context, r *argusv1.ListTasksRequest) (*argusv1.ListTasksResponse, error) {
	switch {
	case q.place == 0:
		return &argusv1.ListTasksResponse{}, nil
	case r.GetPageToken() == "":
		return &argusv1.ListTasksResponse{NextPageToken: "more"}, nil
	}
	return &argusv1.ListTasksResponse{Tasks: []*argusv1.TaskInfo{{Place: q.place}}}, nil
}

// A worker that is busy with a long task, and therefore does not ask for tasks, counts as present; a
// worker whose lease has expired does not.
func TestWaitWithABusyWorker(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		queue *quietQueue
		isOut bool
	}{
		"busy":                {&quietQueue{idle: 12 * time.Minute, place: argusv1.TaskPlace_TASK_PLACE_LEASED}, false},
		"its lease expired":   {&quietQueue{idle: 12 * time.Minute, place: argusv1.TaskPlace_TASK_PLACE_WAITING}, true},
		"idle for long":       {&quietQueue{idle: 12 * time.Minute}, true},
		"idle, and has asked": {&quietQueue{idle: 20 * time.Second}, false},
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := grpc.NewServer()
		argusv1.RegisterAdminServer(s, c.queue)
		go func() { _ = s.Serve(listener) }()
		t.Cleanup(s.Stop)
		cl := argustest.NewCLIAt(t, listener.Addr().String())
		got, _ := hints(cl, "job")
		if want := `no worker reads the queue "night shift" (the last one asked 12m0s ago); start one: argus worker --queue 'night shift'`; c.isOut != strings.HasPrefix(got, want) || !c.isOut && got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}
