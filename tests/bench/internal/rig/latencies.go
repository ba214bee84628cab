package rig

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Latencies collects durations. It is safe for concurrent use.
type Latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

// Add adds a duration.
func (l *Latencies) Add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, d)
}

// Merge adds the durations of another collection, which must be complete.
func (l *Latencies) Merge(other *Latencies) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, other.all...)
}

// Quantile is the duration at quantile q, from 0 to 1; 0 without any durations.
func (l *Latencies) Quantile(q float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return 0
	}
	slices.Sort(l.all)
	return l.all[int(q*float64(len(l.all)-1))]
}

// Row is the median, the 99th percentile and the maximum, in milliseconds, as cells of a row.
func (l *Latencies) Row() []string {
	l.mu.Lock()
	isEmpty := len(l.all) == 0
	l.mu.Unlock()
	if isEmpty {
		return []string{"-", "-", "-"}
	}
	var cells []string
	for _, q := range []float64{0.5, 0.99, 1} {
		cells = append(cells, fmt.Sprintf("%.2f", float64(l.Quantile(q))/1e6))
	}
	return cells
}
