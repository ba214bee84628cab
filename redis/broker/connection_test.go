package broker_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// work takes a task through its life over a connection.
func work(t *testing.T, config redis.Config) {
	t.Helper()
	ctx := redistest.Context(t)
	client, err := redis.NewClient(patient(config))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	b := bundle{ctx: ctx, client: client}
	b.broker = b.open(t, job.Settings{})
	w, _ := b.watch(t, "job", "")
	_, _, err = b.broker.Publish(ctx, queue.PublishRequest{Task: job.Task{JobID: "job"}, Delay: time.Millisecond,
		State: &job.InitialState{}, PublishOptions: queue.PublishOptions{RequestID: "r"}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := b.broker.Read(ctx, queue.ReadRequest{Consumer: "w", Wait: longWait})
	if err != nil || len(d) != 1 {
		t.Fatalf("Read: %+v, %v; want len(d) == 1", d, err)
	}
	if _, err := b.broker.Complete(ctx, d[0].Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
		t.Fatal(err)
	}
	if event := b.next(t, w); event.Status != job.StatusCompleted {
		t.Error(event)
	}
	await(t, ctx, func() bool { return b.broker.WaitStats().Tracking })
	jobs, _, err := b.broker.ListJobs(ctx, "", 10)
	if err != nil || len(jobs) != 1 || jobs[0].JobID != "job" || jobs[0].Status != job.StatusCompleted {
		t.Errorf(`ListJobs: %+v, %v; want len(jobs) == 1 and jobs[0].JobID == "job" and jobs[0].Status == job.StatusCompleted`, jobs, err)
	}
	b.everything(t)
	if policy, err := admin.EvictionPolicy(ctx, client); err != nil || policy != "noeviction" {
		t.Error(policy, err)
	}
}

// everything runs what work does not.
func (b *bundle) everything(t *testing.T) {
	t.Helper()
	must := func(what any, err error) {
		t.Helper()
		if err != nil {
			t.Error(what, err)
		}
	}
	read := func() string {
		t.Helper()
		return b.readOne(t, "w").Lease.Token()
	}
	for _, id := range []string{"dead", "cancelled", "released", "purged"} {
		b.publish(t, job.Task{JobID: id})
	}
	must("nack", b.nack(queue.NackRequest{Token: read(), DeadLetter: true}))
	b.cancel(t, "cancelled", job.StatusPending)
	must("release", b.nack(queue.NackRequest{Token: read(), Release: true}))
	token := read()
	must(b.broker.Extend(b.ctx, token, map[string]string{"progress": "1"}))
	must("state", b.broker.SetState(b.ctx, "released", map[string]string{"a": "b"}, token))
	must(b.broker.Ack(b.ctx, []string{token}))
	must("pause", b.broker.Pause(b.ctx, ""))
	must("resume", b.broker.Resume(b.ctx, ""))
	if q, _, err := b.broker.Queues(b.ctx, "", 10); err != nil || len(q) != 1 {
		t.Errorf("Queues: %+v, %v; want len(q) == 1", q, err)
	}
	must(b.broker.Job(b.ctx, "dead"))
	must(b.broker.Consumers(b.ctx, "", ""))
	must("clean", b.broker.Clean(b.ctx))
	must(b.broker.Redrive(b.ctx, "", true, nil))
	if p, err := b.broker.Purge(b.ctx, ""); err != nil || p.Waiting != 2 {
		t.Errorf("Purge: %+v, %v; want p.Waiting == 2", p, err)
	}
	b.withParts(t, "parts", "one")
	if r, err := b.broker.Complete(b.ctx, read(), job.Result{Status: job.StatusFailed, Part: "one"}); err != nil || r.Already {
		t.Errorf("Complete: %+v, %v; want !r.Already", r, err)
	}
	must(b.broker.DeleteState(b.ctx, "parts"))
	b.broker = b.open(t, job.Settings{Queue: job.QueueSettings{FairBy: job.FairByOrganization, FairMaxInFlight: 1}})
	b.flood(t, "a", 3)
	if got := b.turns(t, 1, 10); got != "a" {
		t.Error(got)
	}
	must("nack", b.nack(queue.NackRequest{Token: read(), Delay: new(time.Duration(0))}))
	read()
}

// A whole life of a task works for an ACL user with the documented permissions; a wrong password is reported.
func TestConnectsAsAnACLUser(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t)
	raw := server.Engine().Raw(t)
	aclUser(t, server)
	if err := raw.Do(redistest.Context(t), "ACL", "SETUSER", "default", "off").Err(); err != nil {
		t.Fatal(err)
	}
	work(t, redis.Config{Addr: server.Addr, Username: "argus", Password: "secret", Prefix: "argus:"})
	_, err := redis.NewClient(redis.Config{Addr: server.Addr, Username: "argus", Password: "wrong"})
	if !errors.Is(err, job.ErrUnavailable) {
		t.Error("a wrong password:", err)
	}
}

// A whole life of a task works with a password and another database.
func TestConnectsWithPasswordAndDatabase(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t)
	if err := server.Engine().Raw(t).ConfigSet(redistest.Context(t), "requirepass", "secret").Err(); err != nil {
		t.Fatal(err)
	}
	work(t, redis.Config{Addr: server.Addr, Password: "secret", DB: 3, Prefix: "argus:"})
}

// A whole life of a task works over TLS.
func TestConnectsOverTLS(t *testing.T) {
	t.Parallel()
	if len(redistest.Shared(t).Raw(t).ConfigGet(redistest.Context(t), "tls-port").Val()) == 0 {
		if os.Getenv(redistest.Require) == "true" {
			t.Fatal("this redis-server was built without TLS")
		}
		t.Skip("this redis-server was built without TLS")
	}
	certFile, keyFile, pool := redistest.Certificate(t)
	_, port, _ := net.SplitHostPort(freePort(t))
	redistest.Own(t, "--tls-port", port, "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-auth-clients", "no")
	work(t, redis.Config{Addr: "127.0.0.1:" + port, Prefix: "argus:", TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}})
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A whole life of a task works on a Redis Cluster.
func TestConnectsToACluster(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t, "--cluster-enabled", "yes")
	raw := server.Engine().Raw(t)
	ctx := redistest.Context(t)
	if err := raw.ClusterAddSlotsRange(ctx, 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	await(t, ctx, func() bool { return strings.Contains(raw.ClusterInfo(ctx).Val(), "cluster_state:ok") })
	work(t, redis.Config{Addr: server.Addr, Cluster: true, Prefix: "{argus}:"})
}

// A whole life of a task works on a master that a sentinel names.
func TestConnectsThroughSentinel(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t)
	host, port, _ := net.SplitHostPort(server.Addr)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := os.WriteFile(conf, []byte("sentinel monitor main "+host+" "+port+" 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := redistest.OwnSentinel(t, conf)
	work(t, redis.Config{Addr: sentinel.Addr, MasterName: "main", Prefix: "argus:"})
}

// A client is not opened where no Redis answers.
func TestClientFailsWithoutRedis(t *testing.T) {
	t.Parallel()
	if _, err := redis.NewClient(redis.Config{Addr: freePort(t)}); !errors.Is(err, job.ErrUnavailable) {
		t.Error(err)
	}
}

// Calls end when their client is closed, those under way and later ones.
func TestCallsEndWhenTheClientCloses(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		var all sync.WaitGroup
		var refused atomic.Int64
		for i := range 50 {
			all.Go(func() {
				for n := 0; ; n++ {
					_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: fmt.Sprint("job-", i, "-", n)}, State: &job.InitialState{}})
					if err != nil {
						if !errors.Is(err, job.ErrUnavailable) && !errors.Is(err, job.ErrOutcomeUnknown) {
							t.Error(err)
						}
						refused.Add(1)
						return
					}
				}
			})
		}
		b.jitter(20)
		for range 2 {
			_ = b.client.Close()
		}
		all.Wait()
		if _, err := b.broker.Complete(b.ctx, "x", job.Result{}); err == nil || refused.Load() != 50 {
			t.Errorf("Complete: %v, %+v; want an error and refused.Load() == 50", err, refused.Load())
		}
	})
}
