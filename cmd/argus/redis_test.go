package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A Redis user that lacks a command is refused at start, by the name of the command: the
// server would fail half-way through a call.
func TestServeWithoutAPermission(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t)
	raw, ctx := server.Engine().Raw(t), redistest.Context(t)
	for _, rule := range []string{"-xadd", "-publish"} {
		if err := raw.Do(ctx, "ACL", "SETUSER", "default", rule).Err(); err != nil {
			t.Fatal(err)
		}
	}
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"serve", "--grpc-addr", "localhost:0", "--redis-addr", server.Addr}, noEnv, &stdout, &stderr, nil)
	if code != exitUsage || !strings.Contains(stderr.String(), "redis.username: ") || !strings.Contains(stderr.String(), "it lacks +xadd;") {
		t.Errorf("exit code %d:\n%s", code, &stderr)
	}
	if err := raw.Do(ctx, "ACL", "SETUSER", "default", "+xadd").Err(); err != nil {
		t.Fatal(err)
	}
	start(t, "serve", "--redis-addr", server.Addr).awaitLog(t, `lacks a permission","rule":"+publish"`)
}

// A prefix within another one that is in use is refused.
func TestServeWithinAnotherPrefix(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t)
	lives(t, start(t, "serve", "--redis-addr", server.Addr, "--redis-prefix", "prod:").dial(t), "job")
	var stdout, stderr bytes.Buffer
	code := run(redistest.Context(t), []string{"serve", "--grpc-addr", "localhost:0", "--redis-addr", server.Addr, "--redis-prefix", "prod:eu:"}, noEnv, &stdout, &stderr, nil)
	if code != exitUsage || !strings.Contains(stderr.String(), `--redis-prefix: is "prod:eu:", and "prod:" is in use`) {
		t.Errorf("exit code %d:\n%s", code, &stderr)
	}
}

// An eviction policy under which a full Redis loses tasks or results is warned of.
func TestServeWarnsOfEviction(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t)
	raw, ctx := server.Engine().Raw(t), redistest.Context(t)
	for policy, want := range map[string]string{"allkeys-lru": "deletes whole queues", "volatile-ttl": "deletes states, results, dead letters", "noeviction": ""} {
		if err := raw.ConfigSet(ctx, "maxmemory-policy", policy).Err(); err != nil {
			t.Fatal(err)
		}
		p := start(t, "serve", "--redis-addr", server.Addr)
		if p.awaitLog(t, want); want == "" && strings.Contains(p.said(), "maxmemory-policy") {
			t.Errorf("%s:\n%s", policy, p.said())
		}
	}
}

// awaitLog waits until the process has logged something.
func (p *process) awaitLog(t *testing.T, text string) {
	t.Helper()
	ctx := redistest.Context(t)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(p.said(), text) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it does not log %s:\n%s", text, p.said())
		}
	}
}
