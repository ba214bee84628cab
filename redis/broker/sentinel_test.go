package broker_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// watchedBySentinel starts a sentinel that takes a node for the master named main.
func watchedBySentinel(t *testing.T, node *redistest.Server, more ...string) *redistest.Server {
	t.Helper()
	host, port, _ := net.SplitHostPort(node.Addr)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor main %s %s 1\n%s\n", host, port, strings.Join(more, "\n"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return redistest.OwnSentinel(t, conf)
}

// replicating starts a server whose replicas need not wait for others to begin.
func replicating(t *testing.T) *redistest.Server {
	t.Helper()
	return redistest.Own(t, "--repl-diskless-sync-delay", "0")
}

// behind makes a node the replica of another one, and waits until it has caught up.
func behind(t *testing.T, replica, master *redistest.Server) {
	t.Helper()
	ctx, raw := redistest.Context(t), replica.Engine().Raw(t)
	host, port, _ := net.SplitHostPort(master.Addr)
	if err := raw.ReplicaOf(ctx, host, port).Err(); err != nil {
		t.Fatal(err)
	}
	await(t, ctx, func() bool { return strings.Contains(raw.Info(ctx, "replication").Val(), "master_link_status:up") })
}

func throughSentinels(t *testing.T, sentinels ...*redistest.Server) *bundle {
	t.Helper()
	addrs := make([]string, len(sentinels))
	for i, s := range sentinels {
		addrs[i] = s.Addr
	}
	client, err := redis.NewClient(redis.Config{Addr: strings.Join(addrs, ","), MasterName: "main", Prefix: "argus:"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	b := &bundle{ctx: redistest.Context(t), client: client}
	b.broker = b.open(t, job.Settings{})
	return b
}

func (b *bundle) tryPublish(id string) error {
	_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: id}, State: &job.InitialState{}})
	return err
}

// has is true of a node that has a job's state.
func has(t *testing.T, node *goredis.Client, id string) bool {
	t.Helper()
	return node.Exists(redistest.Context(t), "argus:job_state:"+id).Val() == 1
}

// ours is how many connections a node has from clients other than this test's and sentinels.
func ours(t *testing.T, node *goredis.Client) (n int) {
	t.Helper()
	list := node.Do(redistest.Context(t), "CLIENT", "LIST", "TYPE", "normal").String()
	for line := range strings.Lines(list) {
		isTest := strings.Contains(line, "cmd=client") || strings.Contains(line, "cmd=info") || strings.Contains(line, "cmd=exists")
		if strings.Contains(line, "id=") && !isTest && !strings.Contains(line, "name=sentinel") {
			n++
		}
	}
	return n
}

// When a master becomes a replica, the connections to it are dropped at the first write that it refuses, new
// ones are refused while the sentinels still name it, and calls reach the new master once they name that.
func TestWritesFollowAPromotedMaster(t *testing.T) {
	t.Parallel()
	first, second := replicating(t), replicating(t)
	old, promoted := first.Engine().Raw(t), second.Engine().Raw(t)
	behind(t, second, first)
	sentinel := watchedBySentinel(t, first, "sentinel down-after-milliseconds main 600000")
	b := throughSentinels(t, sentinel)
	for i := range 5 {
		if err := b.tryPublish(fmt.Sprint("before", i)); err != nil {
			t.Fatal(err)
		}
	}
	await(t, b.ctx, func() bool { return has(t, promoted, "before4") })
	if err := promoted.ReplicaOf(b.ctx, "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	behind(t, first, second)
	if n := ours(t, old); n == 0 {
		t.Fatal("there is no connection that could be dropped")
	}
	if err := b.tryPublish("refused"); !errors.Is(err, job.ErrUnavailable) || !strings.Contains(err.Error(), "READONLY") {
		t.Error("a write to a replica:", err)
	}
	await(t, b.ctx, func() bool { return ours(t, old) == 0 })
	if err := b.tryPublish("refused"); !errors.Is(err, job.ErrUnavailable) || !strings.Contains(err.Error(), "is a replica") {
		t.Error("a connection to a replica:", err)
	}
	host, port, _ := net.SplitHostPort(second.Addr)
	control := sentinel.Engine().Raw(t)
	for _, command := range [][]any{{"SENTINEL", "REMOVE", "main"}, {"SENTINEL", "MONITOR", "main", host, port, "1"}} {
		if err := control.Do(b.ctx, command...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	await(t, b.ctx, func() bool { return b.tryPublish("after") == nil || has(t, promoted, "after") })
	if !has(t, promoted, "after") || !has(t, promoted, "before4") || has(t, promoted, "refused") {
		t.Error(promoted.Keys(b.ctx, "*").Val())
	}
}

// A client never uses a replica that the sentinels take for the master.
func TestReplicaIsNotUsedAsMaster(t *testing.T) {
	t.Parallel()
	master, replica := replicating(t), replicating(t)
	behind(t, replica, master)
	sentinel := watchedBySentinel(t, replica, "sentinel down-after-milliseconds main 600000")
	client, err := redis.NewClient(redis.Config{Addr: sentinel.Addr, MasterName: "main", Prefix: "argus:"})
	if err == nil {
		_ = client.Close()
	}
	if !errors.Is(err, job.ErrUnavailable) || !strings.Contains(err.Error(), "is a replica") {
		t.Error(err)
	}
}

// Sentinels and master are reached over TLS where that is configured.
func TestConnectsThroughSentinelOverTLS(t *testing.T) {
	t.Parallel()
	if len(redistest.Shared(t).Raw(t).ConfigGet(redistest.Context(t), "tls-port").Val()) == 0 {
		t.Skip("this redis-server was built without TLS")
	}
	certFile, keyFile, pool := redistest.Certificate(t)
	nodePort, sentinelPort := portOf(freePort(t)), portOf(freePort(t))
	redistest.Own(t, "--tls-port", nodePort, "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-auth-clients", "no")
	sentinel := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("tls-port %s\ntls-cert-file %s\ntls-key-file %s\ntls-ca-cert-file %s\ntls-auth-clients no\ntls-replication yes\nsentinel monitor main 127.0.0.1 %s 1\n",
		sentinelPort, certFile, keyFile, certFile, nodePort)
	if err := os.WriteFile(sentinel, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	redistest.OwnSentinel(t, sentinel)
	work(t, redis.Config{Addr: "127.0.0.1:" + sentinelPort, MasterName: "main", Prefix: "argus:", TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}})
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// After a failover by Sentinel, calls and key tracking continue at the new master.
func TestWorkAndTrackingSurviveAFailover(t *testing.T) {
	t.Parallel()
	first, second := replicating(t), replicating(t)
	promoted := second.Engine().Raw(t)
	behind(t, second, first)
	sentinel := watchedBySentinel(t, first)
	control := sentinel.Engine().Raw(t)
	b := throughSentinels(t, sentinel)
	b.tracked(t)
	w, _ := b.watch(t, "job", "")
	await(t, b.ctx, func() bool {
		return strings.Contains(control.Do(b.ctx, "SENTINEL", "REPLICAS", "main").String(), "slave")
	})
	await(t, b.ctx, func() bool { return control.Do(b.ctx, "SENTINEL", "FAILOVER", "main").Err() == nil })
	await(t, b.ctx, func() bool {
		return b.tryPublish("after") == nil && has(t, promoted, "after") || has(t, promoted, "after")
	})
	await(t, b.ctx, func() bool { return b.broker.WaitStats().Tracking && b.broker.WaitStats().Connections > 1 })
	if err := promoted.XAdd(b.ctx, entry("argus:argus_completion:job", "status", "completed")).Err(); err != nil {
		t.Fatal(err)
	}
	if event := b.next(t, w); event.Status != job.StatusCompleted {
		t.Error(event)
	}
}

// Once a sentinel has chosen a master's successor, the master is not written to: what it acknowledges would
// be lost.
func TestMasterIsNotWrittenToWhileItIsReplaced(t *testing.T) {
	t.Parallel()
	first, second := replicating(t), replicating(t)
	old, promoted := first.Engine().Raw(t), second.Engine().Raw(t)
	behind(t, second, first)
	sentinel := watchedBySentinel(t, first)
	control := sentinel.Engine().Raw(t)
	b := throughSentinels(t, sentinel)
	if err := b.tryPublish("before"); err != nil {
		t.Fatal(err)
	}
	await(t, b.ctx, func() bool { return has(t, promoted, "before") })
	await(t, b.ctx, func() bool {
		return strings.Contains(control.Do(b.ctx, "SENTINEL", "REPLICAS", "main").String(), "slave")
	})
	// The successor does not execute its promotion for a while, so that the old master remains.
	if err := promoted.Do(b.ctx, "CLIENT", "PAUSE", 10000, "ALL").Err(); err != nil {
		t.Fatal(err)
	}
	await(t, b.ctx, func() bool { return control.Do(b.ctx, "SENTINEL", "FAILOVER", "main").Err() == nil })
	await(t, b.ctx, func() bool { return ours(t, old) == 0 })
	if named := control.Do(b.ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main").Val(); fmt.Sprint(named) != fmt.Sprint(strings.Split(first.Addr, ":")) {
		t.Error("the connections were kept until there was another master:", named)
	}
	err := b.tryPublish("meanwhile")
	isWritten := has(t, old, "meanwhile")
	if strings.Contains(old.Info(b.ctx, "replication").Val(), "role:master") && isWritten {
		t.Error("the old master was written to:", err)
	}
	await(t, b.ctx, func() bool { return b.tryPublish("after") == nil || has(t, promoted, "after") })
	if !has(t, promoted, "after") || !has(t, promoted, "before") {
		t.Error(promoted.Keys(b.ctx, "*").Val())
	}
}
