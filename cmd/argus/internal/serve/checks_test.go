package serve_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
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
	code := argustest.Run(ctx, []string{"serve", "--grpc-addr", "localhost:0", "--redis-addr", server.Addr}, argustest.NoEnv, &stdout, &stderr)
	if code != shell.ExitUsage || !strings.Contains(stderr.String(), "redis.username: ") || !strings.Contains(stderr.String(), "it lacks +xadd;") {
		t.Errorf("exit code %d:\n%s", code, &stderr)
	}
	if err := raw.Do(ctx, "ACL", "SETUSER", "default", "+xadd").Err(); err != nil {
		t.Fatal(err)
	}
	argustest.Start(t, "serve", "--redis-addr", server.Addr).AwaitLog(t, `lacks a permission","rule":"+publish"`)
}

// A prefix within another one that is in use is refused.
func TestServeWithinAnotherPrefix(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t)
	argustest.CompleteOneTask(t, argustest.Start(t, "serve", "--redis-addr", server.Addr, "--redis-prefix", "prod:").Dial(t), "job")
	var stdout, stderr bytes.Buffer
	code := argustest.Run(redistest.Context(t), []string{"serve", "--grpc-addr", "localhost:0", "--redis-addr", server.Addr, "--redis-prefix", "prod:eu:"}, argustest.NoEnv, &stdout, &stderr)
	if code != shell.ExitUsage || !strings.Contains(stderr.String(), `--redis-prefix: is "prod:eu:", and "prod:" is in use`) {
		t.Errorf("exit code %d:\n%s", code, &stderr)
	}
}

// An eviction policy by which a full Redis loses tasks or results causes a warning.
func TestServeWarnsOfEviction(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t)
	raw, ctx := server.Engine().Raw(t), redistest.Context(t)
	for policy, want := range map[string]string{"allkeys-lru": "deletes whole queues", "volatile-ttl": "deletes states, results, dead letters", "noeviction": ""} {
		if err := raw.ConfigSet(ctx, "maxmemory-policy", policy).Err(); err != nil {
			t.Fatal(err)
		}
		p := argustest.Start(t, "serve", "--redis-addr", server.Addr)
		if p.AwaitLog(t, want); want == "" && strings.Contains(p.Stderr.String(), "maxmemory-policy") {
			t.Errorf("%s:\n%s", policy, p.Stderr.String())
		}
	}
}
