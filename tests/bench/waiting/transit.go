package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

func jobID(run string, i int) string { return fmt.Sprintf("%s-%07d", run, i) }

// transit measures the time from sending an item to receiving it. An item is one of n jobs,
// each with at most one event in transit, or one of n tasks.
type transit struct {
	sent      []atomic.Int64 // Unix time in ns by item; 0 while nothing is in transit
	latencies rig.Latencies
}

func newTransit(n int) *transit { return &transit{sent: make([]atomic.Int64, n)} }

// receive records the arrival of item i.
func (t *transit) receive(i int) {
	if at := t.sent[i].Swap(0); at != 0 {
		t.latencies.Add(time.Duration(time.Now().UnixNano() - at))
	}
}

// drainTime is how long a run waits for items in transit after the last one was sent.
const drainTime = 500 * time.Millisecond

// sendEvents calls write at the configured rate, spread over the jobs that have no event in
// transit.
func (t *transit) sendEvents(write func(i int) error) {
	ticker := time.NewTicker(time.Second / time.Duration(*rate))
	defer ticker.Stop()
	var calls sync.WaitGroup
	limit := make(chan struct{}, 64) // concurrent calls
	for i, end := 0, time.Now().Add(*duration); time.Now().Before(end); i++ {
		<-ticker.C
		n := i * 7919 % len(t.sent)
		if !t.sent[n].CompareAndSwap(0, time.Now().UnixNano()) {
			continue
		}
		limit <- struct{}{}
		calls.Go(func() {
			defer func() { <-limit }()
			if err := write(n); err != nil {
				fail(err)
			}
		})
	}
	calls.Wait()
	time.Sleep(drainTime)
}

// sendTasks calls write every 5 ms, each time for the next task.
func (t *transit) sendTasks(write func(i int) error) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for i, end := 0, time.Now().Add(*duration); time.Now().Before(end) && i < len(t.sent); i++ {
		<-ticker.C
		t.sent[i].Store(time.Now().UnixNano())
		if err := write(i); err != nil {
			fail(err)
		}
	}
	time.Sleep(drainTime)
}
