package serve

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/hikmaai-io/argus-queue/redis/broker"
)

// brokerMetrics has the metrics of a server: those of its broker, and Go's own.
func brokerMetrics(b *broker.Broker) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	gauge := func(name, help string, value func(broker.Stats) float64) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "argus", Name: name, Help: help},
			func() float64 { return value(b.WaitStats()) }))
	}
	counter := func(name, help string, value func(broker.Stats) int64) {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "argus", Name: name, Help: help},
			func() float64 { return float64(value(b.WaitStats())) }))
	}
	gauge("waiting_workers", "Workers that wait for a task.", func(s broker.Stats) float64 { return float64(s.Workers) })
	gauge("watched_keys", "Completion streams and states that are watched.", func(s broker.Stats) float64 { return float64(s.Keys) })
	gauge("doorbell_tracking", "1 while Redis pushes change notifications, 0 while the watched keys are polled.", func(s broker.Stats) float64 {
		if s.Tracking {
			return 1
		}
		return 0
	})
	counter("doorbell_connections_total", "Connections on which change notifications were enabled.", func(s broker.Stats) int64 { return s.Connections })
	counter("doorbell_rings_total", "Change notifications of Redis, by key.", func(s broker.Stats) int64 { return s.Changes })
	counter("doorbell_reads_total", "Keys that were read.", func(s broker.Stats) int64 { return s.Reads })
	counter("doorbell_pipelines_total", "Round trips of these reads.", func(s broker.Stats) int64 { return s.Pipelines })
	counter("doorbell_sweeps_total", "Polls of all watched keys.", func(s broker.Stats) int64 { return s.Polls })
	counter("cleaner_unseen_entries_removed_total", "Entries that the cleaner removed from task streams although no consumer is known to have read them.",
		func(s broker.Stats) int64 { return s.UnseenRemoved })
	return registry
}
