package serve

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// load resolves settings as serve does.
func load(t *testing.T, env map[string]string, args ...string) (*config, error) {
	t.Helper()
	flags := pflag.NewFlagSet("argus", pflag.ContinueOnError)
	c := newConfig(flags)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	return c, c.load(func(name string) (string, bool) { value, ok := env[name]; return value, ok })
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSettingsDefaults(t *testing.T) {
	t.Parallel()
	c, err := load(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := []any{c.GRPCAddr, c.Redis.Enabled, c.Redis.Addr, c.Redis.DB, c.Redis.Prefix, c.Redis.PoolSize, c.Redis.ReadTimeout,
		c.Redis.WriteTimeout, c.Broker.StateTTL, c.Broker.DefaultQueue, c.Broker.DefaultGroup, c.Broker.Queue.Lease}
	want := []any{"localhost:7233", true, "localhost:6379", 0, "argus:", 10, 5 * time.Second,
		5 * time.Second, 168 * time.Hour, "argus_task_queue", "argus-workers", time.Minute}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSettingsPrecedence(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "argus.yaml", `
redis:
  enabled: true
  addr: file:1
  password: file
  db: 1
  prefix: "file:"
  pool_size: 11
  read_timeout: 1s
queues:
  json-peers: {encoding: json, lease: 5m}
`)
	env := map[string]string{"ARGUS_CONFIG": file, "ARGUS_REDIS_ADDR": "env:1", "ARGUS_REDIS_PREFIX": "env:", "ARGUS_REDIS_DB": "2", "ARGUS_REDIS_ENABLED": "false"}
	c, err := load(t, env, "--redis-addr", "flag:1", "--redis-db", "3")
	if err != nil {
		t.Fatal(err)
	}
	got := []any{c.Redis.Addr, c.Redis.DB, c.Redis.Prefix, c.Redis.Enabled, c.Redis.PoolSize, c.Redis.Password, c.Redis.ReadTimeout, c.Redis.WriteTimeout}
	want := []any{"flag:1", 3, "env:", false, 11, "file", time.Second, 5 * time.Second}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	queues := map[string]job.QueueSettings{"json-peers": {Encoding: job.EncodingJSON, Lease: 5 * time.Minute}}
	if diff := cmp.Diff(queues, c.Broker.Queues); diff != "" {
		t.Error(diff)
	}
}

func TestSettingsErrors(t *testing.T) {
	t.Parallel()
	secret := writeFile(t, "secret", "hunter2\n")
	for name, c := range map[string]struct {
		yaml string
		env  map[string]string
		args []string
		want []string
	}{
		"unknown key":       {yaml: "redis: {adr: x}\nnope: 1", want: []string{"argus.yaml: unknown key redis.adr", "argus.yaml: unknown key nope"}},
		"bad value":         {yaml: "redis: {pool_size: ten}", want: []string{`argus.yaml: redis.pool_size: "ten" is not an integer`}},
		"group as value":    {yaml: "redis: x", want: []string{"unknown key redis"}},
		"value as group":    {yaml: "lease: {a: 1}", want: []string{"lease: want one value"}},
		"no yaml":           {yaml: "a: [", want: []string{"argus.yaml"}},
		"no file":           {args: []string{"--config", "none.yaml"}, want: []string{"none.yaml", "no such file"}},
		"unknown queue key": {yaml: "queues: {q: {encodng: json}}", want: []string{"argus.yaml: queues", "encodng"}},
		"bad encoding":      {yaml: "queues: {q: {encoding: xml}}", want: []string{"argus.yaml: queues.q.encoding", `"xml"`}},
		"reserved queue":    {yaml: "queues: {'job_state:x': {}}", want: []string{"queues", "reserved"}},
		"environment":       {env: map[string]string{"ARGUS_LEASE": "long"}, want: []string{`ARGUS_LEASE: "long" is not a duration`}},
		"several":           {env: map[string]string{"ARGUS_LEASE": "long", "ARGUS_REDIS_DB": "x"}, want: []string{"ARGUS_LEASE", "ARGUS_REDIS_DB"}},
		"zero":              {args: []string{"--lease", "0s", "--redis-pool-size", "0"}, want: []string{"--lease: must be more than 0", "--redis-pool-size: must be more than 0"}},
		"cluster prefix":    {args: []string{"--redis-cluster"}, want: []string{"--redis-prefix: Redis Cluster needs", "{argus}:"}},
		"two of redis":      {args: []string{"--redis-cluster", "--redis-db", "1"}, want: []string{"--redis-prefix: ", "--redis-db: "}},
		"both passwords":    {args: []string{"--redis-password", "x", "--redis-password-file", secret}, want: []string{"--redis-password: give either it or --redis-password-file"}},
		"no password file":  {args: []string{"--redis-password-file", "none"}, want: []string{"--redis-password-file: ", "no such file"}},
		"in the file":       {yaml: "redis: {pool_size: 0}\nlog: {level: x}", want: []string{"argus.yaml: redis.pool_size: must be more than 0"}},
		"in environment":    {env: map[string]string{"ARGUS_REDIS_POOL_SIZE": "0", "ARGUS_REDIS_DB": "-1"}, want: []string{"ARGUS_REDIS_POOL_SIZE: must be more than 0", "ARGUS_REDIS_DB: must not be negative"}},
		"no port":           {args: []string{"--redis-addr", "one:6379,two"}, want: []string{`--redis-addr: "two" lacks the port; write it as two:6379`}},
		"password in addr":  {args: []string{"--redis-addr", "redis://user:hunter2@host:6379"}, want: []string{"--redis-addr: want host:port", "redis.password_file"}},
		"password and addr": {env: map[string]string{"ARGUS_REDIS_ADDR": ":hunter2@host:6379"}, want: []string{"ARGUS_REDIS_ADDR: want host:port", "redis.password_file"}},
		"tls is off":        {args: []string{"--redis-tls-ca-file", "x"}, want: []string{"--redis-tls-ca-file: is given for TLS, but TLS is off; turn it on with --redis-tls"}},
		"no certificate":    {args: []string{"--redis-tls", "--redis-tls-ca-file", secret}, want: []string{"--redis-tls-ca-file: ", "holds no certificate"}},
	} {
		args := c.args
		if c.yaml != "" {
			args = append(args, "--config", writeFile(t, "argus.yaml", c.yaml))
		}
		_, err := load(t, c.env, args...)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error holds a secret: %v", name, err)
		}
	}
	if c, err := load(t, nil, "--redis-password-file", secret); err != nil || c.Redis.Password != "hunter2" {
		t.Error("password from a file:", err)
	}
}

// Groups are a list or one name, in the file, the environment and a flag, for all queues or one.
func TestGroupSettings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"groups: [a, b]":                      "[a b] []",
		"groups: any":                         "[any] []",
		"groups: a, b":                        "[a b] []",
		"queues: {q: {groups: [a, b]}}":       "[] [a b]",
		"queues: {q: {groups: any}}":          "[] [any]",
		"groups: x\nqueues: {q: {lease: 1m}}": "[x] []",
	} {
		c, err := load(t, map[string]string{"ARGUS_CONFIG": writeFile(t, "argus.yaml", text)})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := fmt.Sprint(c.Broker.Queue.Groups, " ", c.Broker.Queues["q"].Groups); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if c, err := load(t, map[string]string{"ARGUS_GROUPS": "a"}, "--groups", "b,c"); err != nil || fmt.Sprint(c.Broker.Queue.Groups) != "[b c]" {
		t.Error(c, err)
	}
	for _, bad := range []string{"groups: [any, a]", "groups: ['{']", "queues: {q: {groups: {a: b}}}"} {
		if _, err := load(t, map[string]string{"ARGUS_CONFIG": writeFile(t, "argus.yaml", bad)}); err == nil || !strings.Contains(strings.ToLower(err.Error()), "groups") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
