package serve

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A server that holds little in memory, but allocates much, would collect garbage all the time: Go
// lets the heap double. adjustGC lets it grow by gcSpare at least, which is the most memory that
// this costs. GOGC and GOMEMLIMIT turn the adjustment off.
const (
	gcSpare   = 64 << 20
	gcPeriod  = time.Second
	gcPercent = 100 // Go's default
)

// adjustGC adjusts the collector to the size of the live heap, until ctx ends.
func adjustGC(ctx context.Context) {
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

// percentFor is the percentage by which a heap with so many live bytes may grow.
func percentFor(live uint64) int {
	return int(max(gcPercent, min(20*gcPercent, gcSpare*100/max(live, 1))))
}
