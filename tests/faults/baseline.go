package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// baseline is what the servers and Redis use when there is nothing to do.
type baseline struct {
	goroutines, memory []float64 // of each server; memory is resident, in bytes
	connections        int       // of Redis
	doing              map[string]int
}

// What may be more than before the load: connections that the driver keeps for the next
// time, and memory that Go has not given back yet (a server
// lets its garbage grow to 64 MB).
const (
	moreGoroutines  = 30
	moreConnections = 30 // for each server, and each master that it talks to
	moreMemory      = 128 << 20
)

func (w *world) servers() []*server { return slices.Concat(w.main.servers, w.other.servers) }

func (w *world) measure() (b baseline) {
	for _, s := range w.servers() {
		b.goroutines = append(b.goroutines, s.metric("go_goroutines"))
		b.memory = append(b.memory, s.metric("process_resident_memory_bytes"))
	}
	b.doing = make(map[string]int)
	for _, n := range w.topology.servers() {
		n.connections(b.doing)
	}
	for _, n := range b.doing {
		b.connections += n
	}
	return b
}

// checkBaseline is I7: goroutines, memory and connections return to what they were.
func (w *world) checkBaseline() (violations []history.Violation) {
	var found []string
	_ = until(20*time.Second, func() bool {
		found = w.base.exceeded(w.measure(), len(w.servers())*w.topology.masters())
		return len(found) == 0
	})
	for _, what := range found {
		violations = append(violations, history.Violation{Invariant: "I7", What: what})
	}
	return violations
}

func (b baseline) exceeded(now baseline, pools int) (found []string) {
	for i, n := range now.goroutines {
		if n == 0 || n > b.goroutines[i]+moreGoroutines {
			found = append(found, fmt.Sprintf("server %d has %.0f goroutines, at first it had %.0f", i, n, b.goroutines[i]))
		}
		if now.memory[i] > b.memory[i]+moreMemory {
			found = append(found, fmt.Sprintf("server %d takes %.0f MB, at first it took %.0f", i, now.memory[i]/1e6, b.memory[i]/1e6))
		}
	}
	if now.connections > b.connections+pools*moreConnections {
		found = append(found, fmt.Sprintf("Redis has %d connections, at first it had %d: %v", now.connections, b.connections, now.doing))
	}
	return found
}
