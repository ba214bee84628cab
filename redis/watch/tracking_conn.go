package watch

import (
	"context"
	"sync/atomic"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// trackingConn is a connection over which each read of a key also has Redis push the key's next
// change: a *conn.Tracker.
type trackingConn interface {
	// Run passes the keys that have changed, nil for all, until the connection breaks or ctx ends.
	Run(ctx context.Context, changed func(keys []string)) error
	// Ask sends commands without waiting for the replies. It returns false when the connection is broken.
	Ask(commands []byte, questions []conn.Question) bool
	// AskAll sends commands and waits for the replies. It returns false when the connection breaks.
	AskAll(n int, command func(i int) resp.Command, take func(i int, raw string)) bool
	// Fail ends the connection.
	Fail(err error)
}

// activeConn is the tracking connection of a shard, while there is one.
type activeConn struct {
	current atomic.Pointer[trackingConn]
	replies atomic.Int64
}

// get returns the connection, nil while there is none.
func (a *activeConn) get() trackingConn {
	if c := a.current.Load(); c != nil {
		return *c
	}
	return nil
}

func (a *activeConn) set(c trackingConn) {
	if c == nil {
		a.current.Store(nil)
	} else {
		a.current.Store(&c)
	}
}

// isUp reports whether changes are pushed.
func (a *activeConn) isUp() bool { return a.current.Load() != nil }

// nextSeq numbers the replies in the order in which they were received. It is called on the
// goroutine that receives them.
func (a *activeConn) nextSeq() int64 { return a.replies.Add(1) }
