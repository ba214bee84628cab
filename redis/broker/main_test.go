package broker_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestMain(m *testing.M) {
	goredis.SetLogger(silent{}) // tests kill servers; the driver need not tell
	os.Exit(redistest.Main(m))
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// bundle is what most tests need.
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

// patient has a client wait for a store that a busy machine does not run.
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
	br, err := broker.New(context.Background(), b.client, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(br.Close)
	return br
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

// read reads up to max tasks of the default queue.
func (b *bundle) read(t *testing.T, consumer string, max int) []queue.Delivery {
	t.Helper()
	deliveries, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: consumer, Max: max})
	if err != nil {
		t.Fatal(err)
	}
	return deliveries
}

// nack gives a task back.
func (b *bundle) nack(r queue.NackRequest) error {
	_, err := b.broker.Nack(b.ctx, r)
	return err
}

// readOne reads one task, for which it waits.
func (b *bundle) readOne(t *testing.T, consumer string) queue.Delivery {
	t.Helper()
	deliveries, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: consumer, Wait: time.Minute})
	if err != nil || len(deliveries) != 1 {
		t.Fatalf("%d deliveries, want 1; %v", len(deliveries), err)
	}
	return deliveries[0]
}

// readNothing reads, and gets nothing, until done.
func (b *bundle) readNothing(t *testing.T, done func() bool) {
	t.Helper()
	for !done() {
		if d, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Wait: 20 * time.Millisecond}); err != nil || len(d) != 0 {
			t.Fatal(d, err)
		}
	}
}

// expire makes a lease look as if it ran out, without waiting for it.
func (b *bundle) expire(t *testing.T, l job.Lease) {
	t.Helper()
	if err := b.xclaim(l, 10*job.DefaultLease); err != nil {
		t.Fatal(err)
	}
}

// xclaim gives a pending entry to a consumer, as if he had had it for a time.
func (b *bundle) xclaim(l job.Lease, idle time.Duration) error {
	return b.raw.Do(b.ctx, "XCLAIM", b.key(l.Queue), l.Group, l.Consumer, 0, l.EntryID,
		"IDLE", idle.Milliseconds(), "RETRYCOUNT", l.Count, "JUSTID").Err()
}

// hash reads a hash as a raw peer does.
func (b *bundle) hash(t *testing.T, name string) map[string]string {
	t.Helper()
	fields, err := b.raw.HGetAll(b.ctx, b.key(name)).Result()
	if err != nil {
		t.Fatal(err)
	}
	return fields
}

// stream reads a stream as a raw peer does.
func (b *bundle) stream(t *testing.T, name string) []goredis.XMessage {
	t.Helper()
	entries, err := b.raw.XRange(b.ctx, b.key(name), "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	return entries
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

// entry is an XADD as a raw peer sends it.
func entry(stream string, values ...any) *goredis.XAddArgs {
	return &goredis.XAddArgs{Stream: stream, Values: values}
}

// score is a member of a sorted set.
func score(s float64, member string) goredis.Z { return goredis.Z{Score: s, Member: member} }

// groupRead is an XREADGROUP as a raw peer sends it.
func groupRead(stream, group string, count int) *goredis.XReadGroupArgs {
	return &goredis.XReadGroupArgs{Group: group, Consumer: "raw", Streams: []string{stream, ">"}, Count: int64(count), Block: -1}
}

// pendingOf is an XPENDING of up to 100 entries.
func pendingOf(stream, group string) *goredis.XPendingExtArgs {
	return &goredis.XPendingExtArgs{Stream: stream, Group: group, Start: "-", End: "+", Count: 100}
}

// values are an entry's fields.
func values(entry goredis.XMessage) map[string]string {
	fields := make(map[string]string, len(entry.Values))
	for name, value := range entry.Values {
		fields[name], _ = value.(string)
	}
	return fields
}

func newLog(to *logged) *slog.Logger { return slog.New(slog.NewTextHandler(to, nil)) }
