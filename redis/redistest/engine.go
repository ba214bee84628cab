package redistest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"
)

// Patience is how long a test waits for an event: so long that a busy machine does not fail the test, and
// only an event that never comes does.
const Patience = 10 * time.Minute

// Engine is a store to test against.
type Engine struct {
	Name string // "miniredis" or "redis"
	Addr string
	// Prefix belongs to this test alone.
	Prefix string
	// Username and Password are those with which the service connects; empty for the default user.
	Username, Password string
	// Shards, if not 0, is the number of shards of Base. Prefix is then that of the first shard.
	Shards int
	Base   string
}

var prefixes atomic.Int64

func newPrefix() string { return fmt.Sprintf("t%d-%d:", os.Getpid(), prefixes.Add(1)) }

// Embedded starts a miniredis for this test alone.
func Embedded(t testing.TB) Engine {
	t.Helper()
	return Engine{Name: "miniredis", Addr: miniredis.RunT(t).Addr(), Prefix: newPrefix()}
}

// Each runs a test on every engine, in parallel. Without a redis-server it skips the real one, or fails it if
// Require is set. The package needs Main.
func Each(t *testing.T, test func(t *testing.T, e Engine)) {
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		test(t, Embedded(t))
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, Shared(t))
	})
}

// Real reports whether the engine is a real redis-server.
func (e Engine) Real() bool { return e.Name == "redis" }

// Shard returns the prefix of a shard.
func (e Engine) Shard(i int) string {
	return fmt.Sprintf("{%s:%02d}:", strings.TrimSuffix(e.Base, ":"), i)
}

// Raw returns a client as a raw peer uses it, without a prefix. The end of the test closes it.
func (e Engine) Raw(t testing.TB) *goredis.Client {
	t.Helper()
	raw := goredis.NewClient(&goredis.Options{Addr: e.Addr, Protocol: 2, DisableIdentity: true,
		DialTimeout: Patience, ReadTimeout: Patience, WriteTimeout: Patience, PoolTimeout: Patience})
	t.Cleanup(func() { _ = raw.Close() })
	return raw
}

// Context returns a context that the end of the test cancels. It expires after Patience, so that a call that
// would hang fails the test.
func Context(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}
