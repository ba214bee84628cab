package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	"github.com/hikmaai-io/argus-queue/redis/broker"
)

// serveHTTP serves /metrics and /healthz, and with http_pprof profiles, until the returned function
// is called. With an empty address it serves nothing.
func (c *config) serveHTTP(b *broker.Broker, log *slog.Logger) (stop func(), err error) {
	if c.HTTPAddr == "" {
		return func() {}, nil
	}
	listener, err := c.listenHTTP(log)
	if err != nil {
		return nil, err
	}
	s := httpServer(c.httpHandler(b, log))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("HTTP ended", "error", err)
		}
	}()
	return func() {
		_ = s.Close()
		<-done
	}, nil
}

// listenHTTP listens, and refuses to serve profiles to other machines: they show what is in memory.
func (c *config) listenHTTP(log *slog.Logger) (net.Listener, error) {
	listener, err := c.listen("http_addr", c.HTTPAddr)
	if err != nil {
		return nil, err
	}
	if c.HTTPPprof && !isLocal(listener.Addr()) {
		_ = listener.Close()
		return nil, shell.Usagef("%s: profiles show what is in memory, so they are served on loopback only, and %s is %s; use localhost, or turn the profiles off",
			c.settings.Name("http_pprof"), c.settings.Name("http_addr"), c.HTTPAddr)
	}
	warnIfOpen(log, listener.Addr(), "HTTP beyond this machine without authentication: whatever reaches the port can read the metrics")
	return listener, nil
}

func (c *config) httpHandler(b *broker.Broker, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(brokerMetrics(b), promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
		defer cancel()
		if err := b.Ping(ctx); err != nil {
			http.Error(w, "Redis is away", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	if c.HTTPPprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// healthTimeout bounds how long Redis may take to answer a health check.
const healthTimeout = 2 * time.Second

// httpServer is a server with limits: Go's default has no time-outs for slow clients.
func httpServer(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
}
