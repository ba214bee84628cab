package serve

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// embedded is the store of `argus dev`: a Redis in this process's memory, on a loopback port, so
// that redis-cli can open it. Its scripts can read this user's files, so it has a password, a new
// one at each start, against other users of the machine.
type embedded struct {
	redis    *miniredis.Miniredis
	password string
	stop     context.CancelFunc
	tasks    sync.WaitGroup
}

// expiryPeriod is the time between two removals of expired keys.
const expiryPeriod = time.Second

func startEmbedded() (*embedded, error) {
	m, password := miniredis.NewMiniRedis(), rand.Text()
	m.RequireAuth(password)
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start the embedded store: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	e := &embedded{redis: m, password: password, stop: stop}
	e.tasks.Go(func() { e.expire(ctx) })
	return e, nil
}

// expire advances the clock of the keys' TTLs: the store does not do so by itself.
func (e *embedded) expire(ctx context.Context) {
	ticker := time.NewTicker(expiryPeriod)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case now := <-ticker.C:
			e.redis.FastForward(now.Sub(last))
			last = now
		case <-ctx.Done():
			return
		}
	}
}

func (e *embedded) addr() string { return e.redis.Addr() }

// redisCLI is the command line that opens the store.
func (e *embedded) redisCLI() string {
	return "REDISCLI_AUTH=" + e.password + " redis-cli -p " + e.redis.Port()
}

func (e *embedded) close() {
	e.stop()
	e.tasks.Wait()
	e.redis.Close()
}
