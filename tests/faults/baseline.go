package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// baseline is the resource usage of the servers and Redis without load.
type baseline struct {
	goroutines, memory []float64      // of each server; memory is resident, in bytes
	connections        int            // to Redis
	byCommand          map[string]int // connections, by last command
}

// The permitted excess over the baseline: idle connections that the driver keeps, and memory that
// Go has not returned yet (a server lets its garbage grow to 64 MB).
const (
	moreGoroutines  = 30
	moreConnections = 30 // per server and master
	moreMemory      = 128 << 20
)

func (w *world) servers() []*server { return slices.Concat(w.main.servers, w.other.servers) }

// measure is the current resource usage.
func (w *world) measure() (b baseline) {
	for _, s := range w.servers() {
		b.goroutines = append(b.goroutines, s.metric("go_goroutines"))
		b.memory = append(b.memory, s.metric("process_resident_memory_bytes"))
	}
	b.byCommand = make(map[string]int)
	for _, n := range w.topology.servers() {
		n.connections(b.byCommand)
	}
	for _, n := range b.byCommand {
		b.connections += n
	}
	return b
}

// checkBaseline checks I7: goroutines, memory and connections return to the baseline.
func (w *world) checkBaseline() (violations []history.Violation) {
	var found []string
	_ = until(20*time.Second, func() bool {
		found = w.baseline.exceeded(w.measure(), len(w.servers())*w.topology.masters())
		return len(found) == 0
	})
	for _, detail := range found {
		violations = append(violations, history.Violation{Invariant: "I7", Detail: detail})
	}
	return violations
}

// exceeded describes each resource whose usage is above the permitted excess.
func (b baseline) exceeded(now baseline, pools int) (found []string) {
	for i, n := range now.goroutines {
		if n == 0 || n > b.goroutines[i]+moreGoroutines {
			found = append(found, fmt.Sprintf("server %d has %.0f goroutines; the baseline is %.0f", i, n, b.goroutines[i]))
		}
		if now.memory[i] > b.memory[i]+moreMemory {
			found = append(found, fmt.Sprintf("server %d uses %.0f MB; the baseline is %.0f MB", i, now.memory[i]/1e6, b.memory[i]/1e6))
		}
	}
	if now.connections > b.connections+pools*moreConnections {
		found = append(found, fmt.Sprintf("Redis has %d connections; the baseline is %d: %v", now.connections, b.connections, now.byCommand))
	}
	return found
}
