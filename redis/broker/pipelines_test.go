package broker_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// recorder is a hook of the driver that records what a client sends, one text for each round trip:
// "xadd <key>, xreadgroup <key>", with a script's name for a call of it. It can withhold the reply to one of them.
type recorder struct {
	mu   sync.Mutex
	sent []string

	held     string // the beginning of the round trip whose reply is withheld
	executed chan struct{}
	released chan struct{}
}

func (r *recorder) DialHook(next goredis.DialHook) goredis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (r *recorder) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := next(ctx, cmd)
		r.note(cmd)
		return err
	}
}

func (r *recorder) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		err := next(ctx, cmds)
		r.note(cmds...)
		return err
	}
}

// note records a round trip that Redis has executed, and withholds its reply if hold says so.
func (r *recorder) note(cmds ...goredis.Cmder) {
	commands := make([]string, len(cmds))
	for i, cmd := range cmds {
		var words []string
		for _, arg := range cmd.Args() {
			if word, ok := arg.(*string); ok { // as raw commands have them
				arg = *word
			}
			words = append(words, fmt.Sprint(arg))
		}
		commands[i] = strings.TrimSpace(commandOf(words) + " " + keyOf(words))
	}
	sent := strings.Join(commands, ", ")
	r.mu.Lock()
	r.sent = append(r.sent, sent)
	isHeld := r.held != "" && strings.HasPrefix(sent, r.held)
	executed, released := r.executed, r.released
	if isHeld {
		r.held = ""
	}
	r.mu.Unlock()
	if isHeld {
		close(executed)
		<-released
	}
}

// commandOf is the name of a command; of a script that is called by its hash, the script's name.
func commandOf(words []string) string {
	if words[0] == "evalsha" {
		return broker.ScriptName(words[1])
	}
	return words[0]
}

// keyOf is the first key of a command.
func keyOf(words []string) string {
	at := 1
	switch words[0] {
	case "xreadgroup":
		at = 1 + slices.Index(words, "streams")
	case "evalsha", "eval":
		at = 3
	}
	if at >= len(words) {
		return ""
	}
	return words[at]
}

// hold withholds the reply to the next round trip that begins with a text. executed is closed when
// Redis has executed it; release lets the reply through.
func (r *recorder) hold(t *testing.T, beginning string) (executed <-chan struct{}, release func()) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	released := make(chan struct{})
	r.held, r.executed, r.released = beginning, make(chan struct{}), released
	release = sync.OnceFunc(func() { close(released) })
	t.Cleanup(release)
	return r.executed, release
}

// take returns what was sent since the last call.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := r.sent
	r.sent = nil
	return sent
}

// recorded is a broker over some shards, one if their number is 0, of which every round trip is recorded.
// It has no background work: no task reaches a waiting read but by its publish, and an expired lease is
// not looked for, as leases last an hour. Its queue's groups exist in all shards.
type recorded struct {
	*bundle
	*recorder
	shards []string // the prefixes
}

func setupRecorded(t *testing.T, e redistest.Engine, shards int) recorded {
	t.Helper()
	config := patient(redis.Config{Addr: e.Addr, Username: e.Username, Password: e.Password, Prefix: e.Prefix, Shards: shards})
	client, err := redis.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	r := recorded{&bundle{ctx: redistest.Context(t), engine: e, client: client, raw: e.Raw(t)}, &recorder{}, []string{e.Prefix}}
	if e.Base = e.Prefix; shards > 0 {
		r.shards = nil
		for i := range shards {
			r.shards = append(r.shards, e.Shard(i))
		}
	}
	r.broker = r.open(t, job.Settings{Queue: job.QueueSettings{Lease: time.Hour}})
	r.broker.Close()
	for i := range r.shards { // from now on reads use plain commands
		r.publish(t, job.Task{JobID: r.jobIn(i, 0)})
		r.ackAll(t, r.readOne(t, "first"))
	}
	if _, _, err := r.broker.Publish(r.ctx, queue.PublishRequest{Task: job.Task{JobID: "state"}, State: &job.InitialState{}}); err != nil {
		t.Fatal(err) // Redis knows the script now
	}
	r.ackAll(t, r.readOne(t, "first"))
	client.Redis().AddHook(r.recorder)
	return r
}

// jobIn is the nth id of a job in a shard.
func (r recorded) jobIn(shard, n int) string {
	for i := 0; ; i++ {
		if id := fmt.Sprintf("job-%d-%d", n, i); job.ShardOf(id, len(r.shards)) == shard {
			return id
		}
	}
}

// waitingRead is a read that waits.
type waitingRead struct {
	deliveries chan []queue.Delivery
	leave      context.CancelFunc
}

// startRead starts a read of one task and returns when it accepts a hand-over in every shard.
func (r recorded) startRead(t *testing.T, consumer string) waitingRead {
	t.Helper()
	ctx, cancel := context.WithCancel(r.ctx)
	t.Cleanup(cancel)
	w := waitingRead{make(chan []queue.Delivery, 1), cancel}
	go func() {
		deliveries, _ := r.broker.Read(ctx, queue.ReadRequest{Consumer: consumer, Wait: longWait})
		w.deliveries <- deliveries
	}()
	await(t, r.ctx, func() bool { return broker.Accepts(r.broker, job.DefaultQueue) })
	r.take()
	return w
}

// one is the one task that the read returned.
func (w waitingRead) one(t *testing.T) queue.Delivery {
	t.Helper()
	deliveries := receive(t, w.deliveries)
	if len(deliveries) != 1 {
		t.Fatalf("the waiting read returned %d deliveries, want 1", len(deliveries))
	}
	return deliveries[0]
}

// receive receives from a channel, and fails when nothing comes.
func receive[T any](t *testing.T, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(longWait):
		t.Fatal("nothing was received in time")
	}
	return value
}

// publishIn publishes a task in a shard.
func (r recorded) publishIn(t *testing.T, shard, n int) string {
	t.Helper()
	id := r.jobIn(shard, n)
	r.publish(t, job.Task{JobID: id})
	return id
}

// tasks is the key of a shard's task stream.
func (r recorded) tasks(shard int) string { return r.shards[shard] + job.DefaultQueue }
