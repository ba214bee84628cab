package cli

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// worker runs a command for each task.
type worker struct {
	*client.Client
	workerFlags
	log *workerLog
	// killDelay is the time between the request to stop a command and its end by force.
	killDelay time.Duration

	connected sync.Once
	running   atomic.Int64
	counts    outcomeCounts
}

// run works until ctx ends, or until the command can't be started, and then drains: the running
// commands may finish within the drain time-out, or until the next signal.
func (w *worker) run(ctx context.Context) error {
	commands, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	reading, end := context.WithCancelCause(ctx)
	defer end(nil)
	drained := make(chan struct{})
	noDrain := context.AfterFunc(reading, func() {
		defer close(drained)
		w.drain(ctx, reading, stop)
	})
	var slots sync.WaitGroup
	for range w.concurrency {
		slots.Go(func() {
			if err := w.loop(reading, commands); err != nil {
				end(err) // which ends the other slots, too
			}
		})
	}
	slots.Wait()
	if !noDrain() {
		<-drained
	}
	w.log.summary(&w.counts)
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(reading)
}

// drain limits how long the running commands may take, and logs that they are finishing.
func (w *worker) drain(ctx, reading context.Context, stop func()) {
	time.AfterFunc(w.drainTimeout, stop)
	if w.OnSignal != nil {
		w.OnSignal(stop)
	}
	if w.running.Load() == 0 {
		return
	}
	reason := ""
	if ctx.Err() == nil {
		reason = context.Cause(reading).Error() + "; "
	}
	w.log.info(reason+"finishing what runs; ^C again stops it", "draining", "running", w.running.Load())
}

// readWait is how long one Read waits. A worker that stops leaves a Read at once; the bound only
// limits how long a broken connection goes unnoticed.
const readWait = 20 * time.Second

// loop reads one task at a time and runs the command for it. The first Read does not wait: its
// answer shows that the worker is connected.
func (w *worker) loop(ctx, commands context.Context) error {
	for wait := time.Duration(0); ctx.Err() == nil; {
		response, err := w.Queue.Read(ctx, &argusv1.ReadRequest{Queue: w.queue, Group: w.group, Consumer: w.consumer,
			MaxTasks: 1, Wait: durationpb.New(wait)})
		switch {
		case err == nil:
			wait = readWait
			w.connected.Do(func() { w.logConnected(ctx) })
		case ctx.Err() != nil:
			return nil
		case w.Transient(err):
			client.Sleep(ctx, client.RetryPause)
		default:
			return w.ExitError(err)
		}
		for _, d := range response.GetDeliveries() {
			if err := w.work(commands, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// work runs the command for one task and settles it. It returns an error when this worker can't run
// the command at all.
func (w *worker) work(ctx context.Context, d *argusv1.Delivery) error {
	w.running.Add(1)
	w.log.started(d)
	start := time.Now()
	ran := w.execute(ctx, d)
	logged := w.settle(ctx, d, &ran)
	w.counts.add(logged.outcome)
	w.running.Add(-1) // before it is logged: a task that is logged as ended no longer runs
	w.log.ended(d, logged.outcome, time.Since(start), logged.message)
	if ran.outcome == unfit {
		return fmt.Errorf("command: %s", logged.message)
	}
	return nil
}

// connectedTimeout bounds how long the server may take to name its defaults.
const connectedTimeout = 2 * time.Second

// logConnected logs where the worker takes its tasks from. It asks the server for the defaults that
// apply; they are left out if the server does not answer.
func (w *worker) logConnected(ctx context.Context) {
	if w.quiet {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, connectedTimeout)
	defer cancel()
	queue, group := w.queue, w.group
	if response, err := w.Admin.GetQueue(ctx, &argusv1.GetQueueRequest{Queue: queue}); err == nil {
		queue = response.GetQueue().GetName()
	}
	if group == "" {
		group = w.ownGroup(ctx)
	}
	w.log.info(fmt.Sprintf("connected to %s; queue %s, group %s, consumer %s", w.Addr, orDefault(queue), orDefault(group), output.ID(w.consumer)), "connected",
		"addr", w.Addr, "queue", queue, "group", group, "consumer", w.consumer, "concurrency", w.concurrency)
}

// ownGroup asks the server for the group of this worker's name; "" if it does not answer.
func (w *worker) ownGroup(ctx context.Context) (group string) {
	response, err := w.Admin.ListConsumers(ctx, &argusv1.ListConsumersRequest{Queue: w.queue, Group: w.group})
	if err != nil {
		return ""
	}
	for _, consumer := range response.GetConsumers() {
		if consumer.GetName() == w.consumer {
			group = consumer.GetGroup()
		}
	}
	return group
}

func orDefault(name string) string {
	if name == "" {
		return "(the server's default)"
	}
	return output.ID(name)
}
