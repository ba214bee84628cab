package conn

import (
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// nodeBatchers are the batchers of a client, one for each node that it sends to.
type nodeBatchers struct {
	mu       sync.RWMutex
	byAddr   map[string]*nodeBatcher
	isClosed bool
	retiring sync.WaitGroup
}

// retireAfter is for how long a node gets no commands before its batcher may be closed.
const retireAfter = time.Minute

// of returns the batcher of a node, and makes it when the node is new. It fails with ErrClosed.
func (l *nodeBatchers) of(client *goredis.Client) (*nodeBatcher, error) {
	addr, now := client.Options().Addr, time.Now().Unix()
	l.mu.RLock()
	n := l.byAddr[addr]
	if n != nil && n.client == client && !l.isClosed {
		n.lastUsed.Store(now)
		l.mu.RUnlock()
		return n, nil
	}
	l.mu.RUnlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed {
		return nil, goredis.ErrClosed
	}
	if n = l.byAddr[addr]; n == nil || n.client != client { // the driver may replace its client of an address
		l.retire(addr, now)
		n = newNodeBatcher(client)
		l.byAddr[addr] = n
	}
	n.lastUsed.Store(now)
	return n, nil
}

// retire closes the batcher of an address, and those of nodes that are no longer used. The lock
// must be held, so that none of them has just been returned to a caller of of.
func (l *nodeBatchers) retire(addr string, now int64) {
	for a, n := range l.byAddr {
		if a == addr || n.load.Load() == 0 && now-n.lastUsed.Load() > int64(retireAfter/time.Second) {
			delete(l.byAddr, a)
			l.retiring.Go(n.close)
		}
	}
}

// close closes all batchers and waits for their workers.
func (l *nodeBatchers) close() {
	l.mu.Lock()
	l.isClosed = true
	for _, n := range l.byAddr {
		l.retiring.Go(n.close)
	}
	l.mu.Unlock()
	l.retiring.Wait()
}
