package serve

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	e := redistest.Embedded(t)
	client, err := redis.NewClient(redis.Config{Addr: e.Addr, Username: e.Username, Password: e.Password, Prefix: e.Prefix, ReadTimeout: redistest.Patience, WriteTimeout: redistest.Patience})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	log := slog.New(slog.DiscardHandler)
	b, err := broker.New(context.Background(), client, job.Settings{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	problems, err := testutil.GatherAndLint(brokerMetrics(b))
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	w := b.Watches()
	defer w.Close()
	if err := w.Add("job", watch.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := testutil.GatherAndCompare(brokerMetrics(b), strings.NewReader(`# HELP argus_watched_keys Completion streams and states that are watched.
# TYPE argus_watched_keys gauge
argus_watched_keys 1
`), "argus_watched_keys"); err != nil {
		t.Error(err)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	flags := pflag.NewFlagSet("argus", pflag.ContinueOnError)
	c := newConfig(flags)
	c.HTTPAddr = addr
	if _, err := c.serveHTTP(b, log); err == nil || !strings.Contains(err.Error(), "--http-addr") {
		t.Error("an address that is taken:", err)
	}
	_ = l.Close()
	stop, err := c.serveHTTP(b, log)
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string, code int, want string) {
		t.Helper()
		r, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != code || !strings.Contains(string(text), want) {
			t.Errorf("%s: %d %s, want %d %q", path, r.StatusCode, text, code, want)
		}
	}
	get("/healthz", 200, "ok")
	get("/metrics", 200, "argus_doorbell_tracking 0")
	_ = client.Close()
	get("/healthz", 503, "Redis is away")
	stop()
	if _, err := http.Get("http://" + addr + "/healthz"); err == nil {
		t.Error("it serves after it was stopped")
	}
}
