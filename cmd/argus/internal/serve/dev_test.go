package serve_test

import (
	"bytes"
	"regexp"
	"strings"
	"syscall"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

var (
	bannerStore    = regexp.MustCompile(`embedded at (\S+)`)
	bannerPassword = regexp.MustCompile(`REDISCLI_AUTH=(\S+) redis-cli -p (\d+)`)
)

func TestDev(t *testing.T) {
	t.Parallel()
	p := argustest.Start(t, "dev")
	argustest.CompleteOneTask(t, p.Dial(t), "job")
	for _, want := range []string{"argus dev: ", "not for production", "Store      embedded at 127.0.0.1:", "Try        argus publish --job-id demo-1 --scanner trivy --wait --addr " + p.Addr} {
		if !strings.Contains(p.Banner, want) {
			t.Errorf("the banner lacks %q:\n%s", want, p.Banner)
		}
	}
	var stdout, stderr bytes.Buffer
	code := argustest.Run(redistest.Context(t), []string{"dev", "--grpc-addr", p.Addr}, argustest.NoEnv, &stdout, &stderr)
	if code != shell.ExitFailure || !strings.Contains(stderr.String(), p.Addr+" is taken") || strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("a second start on the port: exit %d, %s", code, &stderr)
	}
}

// The embedded store takes the password that the banner shows, and no other.
func TestDevStoreHasAPassword(t *testing.T) {
	t.Parallel()
	ctx := redistest.Context(t)
	p := argustest.Start(t, "dev")
	addr, shown := bannerStore.FindStringSubmatch(p.Banner), bannerPassword.FindStringSubmatch(p.Banner)
	if addr == nil || shown == nil || !strings.HasSuffix(addr[1], ":"+shown[2]) || len(shown[1]) < 20 {
		t.Fatal(p.Banner)
	}
	ping := func(password string) error {
		raw := goredis.NewClient(&goredis.Options{Addr: addr[1], Password: password, Protocol: 2, DisableIdentity: true})
		defer raw.Close()
		return raw.Eval(ctx, "return 1", nil).Err()
	}
	if err := ping(""); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Error("without a password:", err)
	}
	if err := ping("wrong"); err == nil {
		t.Error("a wrong password was accepted")
	}
	if err := ping(shown[1]); err != nil {
		t.Error("with the password of the banner:", err)
	}
	if again := bannerPassword.FindStringSubmatch(argustest.Start(t, "dev").Banner); again == nil || again[1] == shown[1] {
		t.Error("two starts have the same password")
	}
}

// A script that never ends does not keep the process from exiting.
func TestDevEndsDuringAScript(t *testing.T) {
	t.Parallel()
	p := argustest.Start(t, "dev", "--shutdown-timeout", "100ms")
	addr, shown := bannerStore.FindStringSubmatch(p.Banner), bannerPassword.FindStringSubmatch(p.Banner)
	if addr == nil || shown == nil {
		t.Fatal(p.Banner)
	}
	raw := goredis.NewClient(&goredis.Options{Addr: addr[1], Password: shown[1], Protocol: 2, DisableIdentity: true, MaxRetries: -1, ReadTimeout: -1})
	defer raw.Close()
	ctx := redistest.Context(t)
	ended := make(chan error, 1)
	go func() { ended <- raw.Eval(ctx, "redis.call('SET', 'running', '1') while true do end", nil).Err() }()
	other := goredis.NewClient(&goredis.Options{Addr: addr[1], Password: shown[1], Protocol: 2, DisableIdentity: true, MaxRetries: -1})
	defer other.Close()
	for other.Ping(ctx).Err() == nil { // until the script blocks the store
	}
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = p.Cmd.Wait()
	if err := <-ended; err == nil {
		t.Error("the script ended by itself")
	}
	if code := p.Cmd.ProcessState.ExitCode(); code != shell.ExitFailure || !strings.Contains(p.Stderr.String(), "the shutdown takes too long") {
		t.Errorf("exit %d: %s", code, p.Stderr.String())
	}
}
