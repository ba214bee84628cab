package queue

import (
	"sync"
)

// entrySizes remembers of each queue how large its entries are, and whether it is paused. Its
// zero value is ready.
type entrySizes struct {
	mu     sync.Mutex
	queues map[string]*sizeSeen
}

type sizeSeen struct {
	largest float64 // bytes, lately
	paused  bool
}
