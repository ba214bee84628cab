package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A server that has little in memory, but makes much garbage, would collect it all the time:
// Go lets the heap double. So it may grow by gcSpare at least before it is collected, which
// costs that much memory at most. Whoever sets GOGC or GOMEMLIMIT knows better.
const (
	gcSpare   = 64 << 20
	gcPeriod  = time.Second
	gcPercent = 100 // Go's own
)

// spareGC adjusts the collector to what is live, until ctx ends.
func spareGC(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	ticker := time.NewTicker(gcPeriod)
	defer ticker.Stop()
	set := 0
	for {
		metrics.Read(live)
		if percent := percentFor(live[0].Value.Uint64()); percent < set*9/10 || percent > set*11/10 {
			debug.SetGCPercent(percent)
			set = percent
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// percentFor is by how much a heap may grow of which so much is live.
func percentFor(live uint64) int {
	return int(max(gcPercent, min(20*gcPercent, gcSpare*100/max(live, 1))))
}
