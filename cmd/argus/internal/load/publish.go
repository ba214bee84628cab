package load

import (
	"context"
	"strconv"
	"strings"
	"time"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// timeAttribute has the time of a task's or an event's publish in ns, for the process that measures.
const timeAttribute = "bench_at"

// stamp is the current time as timeAttribute has it.
func stamp() string { return strconv.FormatInt(time.Now().UnixNano(), 10) }

// parseStamp reads a time that stamp wrote.
func parseStamp(text string) (time.Time, bool) {
	ns, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(0, ns), err == nil
}

func publish(ctx context.Context, r *run) error {
	meters := r.newMeters(r.clients)
	return r.paced(ctx, r.publisher(func(client, n int, took time.Duration) { meters[client].add(n, took) }))
}

// publisher makes a function for paced that publishes tasks, with the time of their publish.
func (r *run) publisher(done func(client, n int, took time.Duration)) func(context.Context, int) (int, error) {
	padding := strings.Repeat("x", r.size)
	return func(ctx context.Context, client int) (int, error) {
		start := time.Now()
		err := r.publishBatch(ctx, argusv1.NewTaskQueueClient(r.conn(client)), padding)
		if err == nil {
			done(client, r.batch, time.Since(start))
		}
		return r.batch, err
	}
}

func (r *run) publishBatch(ctx context.Context, queue argusv1.TaskQueueClient, padding string) error {
	if r.batch == 1 {
		_, err := queue.Publish(ctx, &argusv1.PublishRequest{Queue: r.queue, Task: newTask(padding)})
		return err
	}
	request := &argusv1.PublishBatchRequest{Queue: r.queue}
	for range r.batch {
		request.Tasks = append(request.Tasks, newTask(padding))
	}
	_, err := queue.PublishBatch(ctx, request)
	return err
}

func newTask(padding string) *argusv1.Task {
	return &argusv1.Task{OrganizationId: "bench", Attributes: map[string]string{"padding": padding, timeAttribute: stamp()}}
}
