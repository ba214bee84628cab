package main

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// hints are what would be said to a publish --wait into the default queue, and to a watch.
func (c *cli) hints(job string) (queue, watch string) {
	c.t.Helper()
	p := &program{env: c.env}
	command, cl := p.command(p.version(), nil)
	cl.connection()
	if err := cl.open(); err != nil {
		c.t.Fatal(command, err)
	}
	defer cl.conn.Close()
	return cl.namedQueueHint(c.ctx, ""), cl.jobHint(c.ctx, job)
}

// A wait for a job that no worker will take says so, and how to start a worker.
func TestWaitWithoutAWorker(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	for _, args := range [][]string{{"publish", "--job-id", "job", "--wait"}, {"watch", "job"}, {"await", "job"}} {
		ctx, cancel := context.WithCancel(c.ctx)
		var out, said process // as buffers that two may use
		ended := make(chan int, 1)
		go func() { ended <- run(ctx, args, c.env, &out, &said, nil) }()
		want := "argus " + args[0] + ": no worker reads the queue argus_task_queue; start one: argus worker --queue argus_task_queue --addr " + c.addr + " -- echo done\n"
		c.await("the hint of "+args[0], func() bool { return said.said() == want })
		cancel()
		<-ended
	}
	startWorker(t, c.addr, "--", "true") // as it says
	c.run(0, "await", "job")
}

// It is never said while a worker is there, or when the job does not wait.
func TestWaitWithAWorker(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	say := func(when, wantQueue, wantWatch string) {
		t.Helper()
		queue, watch := c.hints("job")
		if !strings.HasPrefix(queue, wantQueue) || wantQueue == "" && queue != "" || !strings.HasPrefix(watch, wantWatch) || wantWatch == "" && watch != "" {
			t.Errorf("%s: %q and %q", when, queue, watch)
		}
	}
	say("nothing was published", "", "")
	c.run(0, "publish", "--job-id", "later", "--delay", "1h")
	say("a task is delayed", "", "")
	c.run(0, "publish", "--job-id", "other")
	say("another job waits", "no worker reads the queue", "")
	c.run(0, "publish", "--job-id", "job")
	say("the job waits", "no worker reads the queue", "no worker reads the queue")
	c.run(0, "queue", "pause")
	say("the queue is paused", "the queue argus_task_queue is paused; to go on: argus queue resume argus_task_queue", "the queue argus_task_queue is paused")
	c.run(0, "queue", "resume")
	token := c.token("w")
	say("a worker has just asked, and works", "", "")
	c.run(0, "complete", token)
	say("a worker has just asked", "", "")
}

// quietQueue is a server whose queue has a task that waits, and a worker that has not asked for
// long.
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

// A worker that works on a task for long, and does not ask meanwhile, is there; one whose lease
// ran out is not.
func TestWaitWithABusyWorker(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		queue *quietQueue
		isOut bool
	}{
		"busy":                {&quietQueue{idle: 12 * time.Minute, place: argusv1.TaskPlace_TASK_PLACE_LEASED}, false},
		"its lease ran out":   {&quietQueue{idle: 12 * time.Minute, place: argusv1.TaskPlace_TASK_PLACE_WAITING}, true},
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
		cli := &cli{t, redistest.Context(t), listener.Addr().String()}
		got, _ := cli.hints("job")
		if want := `no worker reads the queue "night shift" (the last one asked 12m0s ago); start one: argus worker --queue 'night shift'`; c.isOut != strings.HasPrefix(got, want) || !c.isOut && got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}
