package queue

import "sync"

// entrySizes remembers the size of each queue's entries, and whether it is paused. Its zero value is
// ready.
type entrySizes struct {
	mu     sync.Mutex
	queues map[string]*seenEntries
}

type seenEntries struct {
	largest float64 // bytes of a recent entry
	paused  bool
}

const (
	// maxSized is how many queues are remembered; beyond it, all are forgotten.
	maxSized = 10_000
	// sizeDecay is by how much the largest size shrinks with each smaller entry.
	sizeDecay = 0.99
	// plainMax is how many entries a grant asks for at most.
	plainMax = 64
)

// note notes the size of an entry, bytes. A large one has an effect for a while.
func (e *entrySizes) note(queue string, bytes int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := e.of(queue)
	seen.largest = max(float64(bytes), seen.largest*sizeDecay)
}

// setPaused notes whether a queue is paused: then only the script reads, which leases nothing.
func (e *entrySizes) setPaused(queue string, paused bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.of(queue).paused = paused
}

// room is how many entries a read can ask for so that all of them should fit into batchBytes, each with
// an overhead; 0 if nothing is known of the queue's entries, or it is paused.
func (e *entrySizes) room(queue string, overhead int) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := e.of(queue)
	if seen.paused || seen.largest == 0 {
		return 0
	}
	return min(plainMax, batchBytes/(overhead+2*int(seen.largest)))
}

// of needs mu.
func (e *entrySizes) of(queue string) *seenEntries {
	if e.queues == nil || len(e.queues) >= maxSized {
		e.queues = make(map[string]*seenEntries)
	}
	if e.queues[queue] == nil {
		e.queues[queue] = &seenEntries{}
	}
	return e.queues[queue]
}
