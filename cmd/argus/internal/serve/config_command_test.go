package serve_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

func TestConfigCommands(t *testing.T) {
	t.Parallel()
	file := argustest.WriteFile(t, "argus.yaml", "redis: {password: hunter2, db: 3}\nqueues: {q: {lease: 5m}}\n")
	var out, err bytes.Buffer
	if code := argustest.Run(t.Context(), []string{"config", "print", "--config", file, "--redis-prefix", "x:"}, argustest.NoEnv, &out, &err); code != 0 {
		t.Fatal(code, &err)
	}
	for _, want := range []string{`prefix: "x:"`, "addr: localhost:6379", "lease: 5m0s", "(set, not shown)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("config print lacks %q:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "hunter2") {
		t.Error("a secret was printed")
	}
	printed := argustest.WriteFile(t, "printed.yaml", out.String())
	out.Reset()
	if code := argustest.Run(t.Context(), []string{"config", "validate", printed}, argustest.NoEnv, &out, &err); code != 0 || !strings.HasSuffix(out.String(), ": ok\n") {
		t.Error("what was printed is not valid:", &out, &err)
	}
	cluster := argustest.WriteFile(t, "cluster.yaml", "redis: {cluster: true}")
	if code := argustest.Run(t.Context(), []string{"config", "validate", cluster}, argustest.NoEnv, &out, &err); code != shell.ExitUsage || !strings.Contains(err.String(), cluster+": redis.prefix: Redis Cluster needs") {
		t.Error("what a file lacks is not named as in the file:", &err)
	}
	bad := argustest.WriteFile(t, "bad.yaml", "lease: long")
	if code := argustest.Run(t.Context(), []string{"config", "validate", bad}, argustest.NoEnv, &out, &err); code != shell.ExitUsage || !strings.Contains(err.String(), "bad.yaml: lease") {
		t.Error(code, &err)
	}
}
