package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// TestMain stops the shared server after the tests.
func TestMain(m *testing.M) {
	goredis.SetLogger(silent{}) // tests kill servers; the driver need not log that
	os.Exit(redistest.Main(m))
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// bundle is an engine, a broker on it, and a raw client beside it.
type bundle struct {
	ctx    context.Context
	engine redistest.Engine
	client *redis.Client
	broker *broker.Broker
	raw    *goredis.Client
}

func setup(t *testing.T, e redistest.Engine, config job.Settings) *bundle {
	t.Helper()
	b := &bundle{ctx: redistest.Context(t), engine: e, raw: e.Raw(t)}
	b.client = connect(t, e)
	b.broker = b.open(t, config)
	return b
}

func connect(t *testing.T, e redistest.Engine) *redis.Client {
	t.Helper()
	client, err := redis.NewClient(patient(redis.Config{Addr: e.Addr, Username: e.Username, Password: e.Password, Prefix: e.Prefix}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// patient gives a client timeouts that a busy machine does not exceed.
func patient(c redis.Config) redis.Config {
	c.ReadTimeout, c.WriteTimeout = redistest.Patience, redistest.Patience
	return c
}

// open opens another broker on the same store, as another server process would.
func (b *bundle) open(t *testing.T, config job.Settings) *broker.Broker {
	t.Helper()
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	opened, err := broker.New(context.Background(), b.client, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opened.Close)
	return opened
}

// key is a key as it stands in Redis.
func (b *bundle) key(name string) string { return b.engine.Prefix + name }

// publish publishes a task and returns its entry's id.
func (b *bundle) publish(t *testing.T, task job.Task) string {
	t.Helper()
	p, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: task})
	if err != nil {
		t.Fatal(err)
	}
	return p.EntryID
}

// publishTo publishes a task to a queue.
func (b *bundle) publishTo(t *testing.T, name string) {
	t.Helper()
	if _, _, err := b.broker.Publish(b.ctx, to(name)); err != nil {
		t.Fatal(err)
	}
}

// to is a request to publish a task to a queue.
func to(name string) queue.PublishRequest {
	return queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: name}}
}

// read reads up to most tasks of the default queue.
func (b *bundle) read(t *testing.T, consumer string, most int) []queue.Delivery {
	t.Helper()
	deliveries, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: consumer, Max: most})
	if err != nil {
		t.Fatal(err)
	}
	return deliveries
}

// nack ends a lease without a result.
func (b *bundle) nack(r queue.NackRequest) error {
	_, err := b.broker.Nack(b.ctx, r)
	return err
}

// readOne waits for one task.
func (b *bundle) readOne(t *testing.T, consumer string) queue.Delivery {
	t.Helper()
	deliveries, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: consumer, Wait: time.Minute})
	if err != nil || len(deliveries) != 1 {
		t.Fatalf("%d deliveries, want 1; %v", len(deliveries), err)
	}
	return deliveries[0]
}

// readNothing reads until done, and fails when it gets a task.
func (b *bundle) readNothing(t *testing.T, done func() bool) {
	t.Helper()
	for !done() {
		if d, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Wait: 20 * time.Millisecond}); err != nil || len(d) != 0 {
			t.Fatal(d, err)
		}
	}
}

func (b *bundle) ackAll(t *testing.T, deliveries ...queue.Delivery) {
	t.Helper()
	for _, d := range deliveries {
		if r, err := b.broker.Ack(b.ctx, []string{d.Lease.Token()}); err != nil || r[0].Outcome != queue.Acked {
			t.Error(r, err)
		}
	}
}

// now requeues a task at once.
func now(d queue.Delivery, reason string) queue.NackRequest {
	return queue.NackRequest{Token: d.Lease.Token(), Delay: new(time.Duration), Reason: reason}
}

// events checks a job's events: their statuses, in order.
func (b *bundle) events(t *testing.T, id string, want ...string) {
	t.Helper()
	var got []string
	for _, event := range b.stream(t, "argus_completion:"+id) {
		got = append(got, fmt.Sprint(event.Values["status"]))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events of %s (-want +got):\n%s", id, diff)
	}
}

// pending is the number of pending entries of the default queue and group.
func (b *bundle) pending(t *testing.T) int64 {
	t.Helper()
	p, err := b.raw.XPending(b.ctx, b.key(job.DefaultQueue), job.DefaultGroup).Result()
	if err != nil {
		t.Fatal(err)
	}
	return p.Count
}

// contextCancelled is a context that has ended already.
func contextCancelled(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	cancel()
	return ctx, cancel
}

// await polls until something has happened that sends no signal.
func await(t *testing.T, ctx context.Context, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the awaited condition did not become true in time")
		}
	}
}

var created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// longWait is longer than any successful wait of a test.
const longWait = redistest.Patience

// readAs reads up to ten tasks of a queue with a group.
func (b *bundle) readAs(name, group string) ([]queue.Delivery, error) {
	return b.broker.Read(b.ctx, queue.ReadRequest{Queue: name, Group: group, Consumer: "w", Max: 10})
}

// work reads with a group, completes what it gets, and returns the jobs.
func (b *bundle) work(t *testing.T, name, group string) string {
	t.Helper()
	deliveries, err := b.readAs(name, group)
	if err != nil {
		t.Fatal(err)
	}
	var jobs []string
	for _, d := range deliveries {
		if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, d.Task.JobID)
	}
	return strings.Join(jobs, " ")
}
