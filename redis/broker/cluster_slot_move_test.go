package broker_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// masters are two nodes of a Redis Cluster; the first has all slots.
type masters struct {
	ctx   context.Context
	nodes [2]*goredis.Client
	ids   [2]string
	slot  int64
}

func newMasters(t *testing.T, prefix string) *masters {
	t.Helper()
	m := &masters{ctx: redistest.Context(t)}
	buses := [2]string{}
	for i := range m.nodes {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, buses[i], _ = net.SplitHostPort(l.Addr().String())
		_ = l.Close()
		server := redistest.Own(t, "--cluster-enabled", "yes", "--cluster-port", buses[i])
		m.nodes[i] = redistest.Engine{Name: "redis", Addr: server.Addr}.Raw(t)
		m.ids[i] = m.do(t, i, "cluster", "myid").(string)
		m.do(t, i, "cluster", "set-config-epoch", i+1)
	}
	host, port, _ := net.SplitHostPort(m.nodes[1].Options().Addr)
	m.do(t, 0, "cluster", "addslotsrange", 0, 16383)
	m.do(t, 0, "cluster", "meet", host, port, buses[1])
	m.slot = m.do(t, 0, "cluster", "keyslot", prefix).(int64)
	for i := range m.nodes {
		await(t, m.ctx, func() bool { return strings.Contains(m.nodes[i].ClusterInfo(m.ctx).Val(), "cluster_state:ok") })
	}
	return m
}

func (m *masters) do(t *testing.T, node int, args ...any) any {
	t.Helper()
	reply, err := m.nodes[node].Do(m.ctx, args...).Result()
	if err != nil {
		t.Fatal(args, err)
	}
	return reply
}

// begin begins to move the prefix's slot from the first node to the second; end ends it.
func (m *masters) begin(t *testing.T) {
	m.do(t, 1, "cluster", "setslot", m.slot, "importing", m.ids[0])
	m.do(t, 0, "cluster", "setslot", m.slot, "migrating", m.ids[1])
}

func (m *masters) end(t *testing.T) {
	m.migrate(t, m.keys())
	m.do(t, 1, "cluster", "setslot", m.slot, "node", m.ids[1])
	m.do(t, 0, "cluster", "setslot", m.slot, "node", m.ids[1])
}

// keys are those of the slot that the first node still has.
func (m *masters) keys() []string {
	return m.nodes[0].ClusterGetKeysInSlot(m.ctx, int(m.slot), 1000).Val()
}

func (m *masters) migrate(t *testing.T, keys []string) {
	t.Helper()
	_, port, _ := net.SplitHostPort(m.nodes[1].Options().Addr)
	for _, key := range keys {
		m.do(t, 0, "migrate", "127.0.0.1", port, key, 0, 5000)
	}
}

// A slot moves to another node during work and a watch: both follow it.
func TestWorkAndWatchFollowASlotThatMoves(t *testing.T) {
	t.Parallel()
	const prefix = "{argus}:"
	m := newMasters(t, prefix)
	client, err := redis.NewClient(patient(redis.Config{Addr: m.nodes[0].Options().Addr, Cluster: true, Prefix: prefix}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	b := &bundle{ctx: m.ctx, client: client}
	b.broker = b.open(t, job.Settings{})
	publish := func(id string) {
		t.Helper()
		await(t, m.ctx, func() bool { // while the keys of one script are apart, it is to be repeated
			_, _, err := b.broker.Publish(m.ctx, queue.PublishRequest{Task: job.Task{JobID: id}, PublishOptions: queue.PublishOptions{RequestID: id}})
			if err != nil && !strings.Contains(err.Error(), job.ErrUnavailable.Error()) {
				t.Fatal(err)
			}
			return err == nil
		})
	}
	w, _, err := b.broker.Watch(m.ctx, "raw", "")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	event := func(node int, status string) {
		t.Helper()
		pipe := m.nodes[node].Pipeline()
		pipe.Do(m.ctx, "asking")
		pipe.XAdd(m.ctx, entry(prefix+"argus_completion:raw", "status", status))
		if _, err := pipe.Exec(m.ctx); err != nil {
			t.Fatal(err)
		}
		got, err := w.Next(m.ctx, time.Minute)
		if err != nil || got == nil || string(got.Status) != status {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	publish("before")
	event(0, "one")
	m.begin(t)
	m.migrate(t, []string{prefix + "argus_completion:raw"})
	event(1, "two")
	m.end(t)
	publish("after")
	event(1, "three")
	for i, want := range []string{"before", "after"} {
		d := b.readOne(t, fmt.Sprint("w", i))
		if d.Task.JobID != want {
			t.Error(d.Task.JobID)
		}
		if _, err := b.broker.Complete(m.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
			t.Error(err)
		}
	}
	event(1, "completed")
}
