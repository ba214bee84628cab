package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hikmaai-io/argus-queue/redis"
)

// brokerMetrics are what a server tells Prometheus: how waiting goes, and Go's own numbers.
func brokerMetrics(broker broker) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	gauge := func(name, help string, value func(redis.WaitStats) float64) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "argus", Name: name, Help: help},
			func() float64 { return value(broker.WaitStats()) }))
	}
	counter := func(name, help string, value func(redis.WaitStats) int64) {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "argus", Name: name, Help: help},
			func() float64 { return float64(value(broker.WaitStats())) }))
	}
	gauge("waiting_workers", "Workers that wait for a task.", func(s redis.WaitStats) float64 { return float64(s.Workers) })
	gauge("watched_keys", "Completion streams and states that are watched.", func(s redis.WaitStats) float64 { return float64(s.Keys) })
	gauge("doorbell_tracking", "1 while Redis rings for what others write, 0 while it is found by sweeping.", func(s redis.WaitStats) float64 {
		if s.Tracking {
			return 1
		}
		return 0
	})
	counter("doorbell_connections_total", "How often Redis was asked to ring.", func(s redis.WaitStats) int64 { return s.Trackers })
	counter("doorbell_rings_total", "Changed keys that Redis told of.", func(s redis.WaitStats) int64 { return s.Rings })
	counter("doorbell_reads_total", "Keys that were looked at.", func(s redis.WaitStats) int64 { return s.Reads })
	counter("doorbell_pipelines_total", "Round trips that took.", func(s redis.WaitStats) int64 { return s.Pipelines })
	counter("doorbell_sweeps_total", "How often all watched keys were swept.", func(s redis.WaitStats) int64 { return s.Sweeps })
	counter("cleaner_unseen_entries_removed_total", "Entries that the cleaner removed from task streams and no consumer is known to have been given.",
		func(s redis.WaitStats) int64 { return s.UnseenRemoved })
	return registry
}

// serveHTTP serves /metrics and /healthz, and profiles if asked to, until the returned
// function is called. With an empty address it serves nothing. Profiles show what is in
// memory, and are served to this machine only.
func (c *config) serveHTTP(broker broker, log *slog.Logger) (stop func(), err error) {
	if c.HTTPAddr == "" {
		return func() {}, nil
	}
	listener, err := c.listen("http_addr", c.HTTPAddr)
	if err != nil {
		return nil, err
	}
	if c.HTTPPprof && !isLocal(listener.Addr()) {
		_ = listener.Close()
		return nil, usageError(fmt.Errorf("%s: profiles show what is in memory, so they are served on loopback only, and %s is %s; use localhost, or turn the profiles off",
			c.name("http_pprof"), c.name("http_addr"), c.HTTPAddr))
	}
	warnIfOpen(log, listener.Addr(), "HTTP beyond this machine without authentication: whatever reaches the port can read the metrics")
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(brokerMetrics(broker), promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := broker.Ping(ctx); err != nil {
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
	s := httpServer(mux)
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

// httpServer is a server with limits; Go's own has none for slow clients.
func httpServer(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
}
