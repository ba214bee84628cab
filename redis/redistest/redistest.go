// Package redistest gives tests the stores that Argus Queue runs on: miniredis always,
// and a real redis-server where there is one.
package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"
)

// Require is the environment variable that demands a real redis-server: with "true",
// its absence is a failure.
const Require = "REDIS_INTEGRATION_TEST"

// Engine is a store to test against.
type Engine struct {
	Name string // "miniredis" or "redis"
	Addr string
	// Prefix is this test's own: nothing else uses it.
	Prefix string
	// Username and Password are of the user that the service is; empty for the default user.
	Username, Password string
	// Shards, if not 0, is how many shards Base is spread over; then Prefix is the first's.
	Shards int
	Base   string
}

// Real is true of a real redis-server.
func (e Engine) Real() bool { return e.Name == "redis" }

// Raw is a client as a raw Redis peer has it. The test's end closes it.
func (e Engine) Raw(t testing.TB) *goredis.Client {
	t.Helper()
	raw := goredis.NewClient(&goredis.Options{Addr: e.Addr, Protocol: 2, DisableIdentity: true,
		DialTimeout: Patience, ReadTimeout: Patience, WriteTimeout: Patience, PoolTimeout: Patience})
	t.Cleanup(func() { _ = raw.Close() })
	return raw
}

var prefixes atomic.Int64

func newPrefix() string { return fmt.Sprintf("t%d-%d:", os.Getpid(), prefixes.Add(1)) }

// Each runs a test on every engine, in parallel. Without a redis-server the real one
// is skipped, or failed if Require is set.
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

// Embedded is a miniredis of the test's own.
func Embedded(t testing.TB) Engine {
	t.Helper()
	return Engine{Name: "miniredis", Addr: miniredis.RunT(t).Addr(), Prefix: newPrefix()}
}

// Permissions are the ACL rules that the service needs on its keys and channels:
// docs/operations.md lists them.
var Permissions = strings.Fields(`-@all
	+ping +select +time +wait +multi +exec +eval +evalsha +publish +scan +info
	+client|tracking +memory|usage
	+exists +del +copy +rename +pexpire +pttl +get +set
	+hset +hsetnx +hget +hmget +hgetall +hdel +hexists +hincrby +hkeys +hlen +hscan +hstrlen
	+sadd +srem +scard +smembers +sismember
	+zadd +zrem +zscore +zmscore +zcard +zscan +zrange +zrangebyscore +zrangebylex +zlexcount +zremrangebyscore
	+xadd +xack +xdel +xlen +xrange +xrevrange +xread +xreadgroup +xtrim +xclaim +xpending
	+xinfo|groups +xinfo|consumers +xgroup|create +xgroup|destroy +xgroup|createconsumer
	+xgroup|delconsumer`)

// The user that the service is on the shared server, with Permissions and no others.
const username, password = "argus", "secret"

var shared = sync.OnceValues(func() (*Server, error) {
	tests := fmt.Sprintf("t%d-*", os.Getpid())
	user := append([]string{username, "on", ">" + password, "~" + tests, "~{" + tests, "&" + tests, "&{" + tests}, Permissions...)
	return start(append([]string{"--user"}, user...)...)
})

// Shared is the redis-server that all tests of a package share, used by a user that has
// Permissions only. The package needs Main.
func Shared(t testing.TB) Engine {
	t.Helper()
	server, err := shared()
	need(t, err)
	e := server.Engine()
	e.Username, e.Password = username, password
	return e
}

// Sharded is the shared redis-server, with shards.
func Sharded(t testing.TB, shards int) Engine {
	t.Helper()
	e := Shared(t)
	e.Base, e.Shards = e.Prefix, shards
	e.Prefix = e.Shard(0)
	return e
}

// Shard is the prefix of a shard.
func (e Engine) Shard(i int) string {
	return fmt.Sprintf("{%s:%02d}:", strings.TrimSuffix(e.Base, ":"), i)
}

// Main runs a package's tests and stops the shared server:
//
//	func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }
func Main(m *testing.M) int {
	code := m.Run()
	if started.Load() {
		if server, err := shared(); err == nil {
			server.Stop()
		}
	}
	return code
}

var started atomic.Bool

// Own starts a redis-server for one test, which may kill it.
func Own(t testing.TB, args ...string) *Server {
	t.Helper()
	server, err := start(args...)
	need(t, err)
	t.Cleanup(server.Stop)
	return server
}

// OwnSentinel starts a sentinel with a configuration file of the test's.
func OwnSentinel(t testing.TB, conf string) *Server {
	t.Helper()
	server, err := launch([]string{conf, "--sentinel"}, "Sentinel ID is")
	need(t, err)
	t.Cleanup(server.Stop)
	return server
}

func need(t testing.TB, err error) {
	t.Helper()
	switch {
	case errors.Is(err, exec.ErrNotFound) && os.Getenv(Require) != "true":
		t.Skip("no redis-server is installed; " + Require + "=true demands one")
	case err != nil:
		t.Fatalf("start redis-server: %v", err)
	}
}

// Server is a redis-server process with a directory and a port of its own, on
// loopback, persisting nothing.
type Server struct {
	Addr string

	dir   string
	args  []string
	ready string // what it logs when it is ready
	mu    sync.Mutex
	cmd   *exec.Cmd
	done  chan struct{}
}

func start(args ...string) (*Server, error) {
	own := []string{"--save", "", "--appendonly", "no", "--loglevel", "notice"}
	return launch(append(own, args...), "Ready to accept connections")
}

// launch starts redis-server; it is ready once it has logged a line with ready.
func launch(args []string, ready string) (*Server, error) {
	started.Store(true)
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "argus-redis-")
	if err != nil {
		return nil, err
	}
	// Another process may take the port between our look and Redis's bind.
	for range 5 {
		var addr string
		if addr, err = freeAddr(); err != nil {
			break
		}
		_, port, _ := net.SplitHostPort(addr)
		s := &Server{Addr: addr, dir: dir, ready: ready}
		s.args = append([]string{path}, args...)
		s.args = append(s.args, "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--daemonize", "no")
		if err = s.Start(); err == nil {
			return s, nil
		}
	}
	_ = os.RemoveAll(dir)
	return nil, err
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Start starts the server, on the same port as before, and returns when it answers.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cmd := exec.Command(s.args[0], s.args[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.done = cmd, make(chan struct{})
	ready := make(chan bool, 1)
	go func() {
		defer close(s.done)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.Contains(lines.Text(), s.ready) {
				select {
				case ready <- true:
				default:
				}
			}
		}
		_ = cmd.Wait()
	}()
	select {
	case <-ready:
		return nil
	case <-s.done:
		return errors.New("redis-server ended at once")
	case <-time.After(Patience):
		_ = cmd.Process.Kill()
		return errors.New("redis-server did not get ready")
	}
}

// Kill kills the server as a crash would, and waits until it is gone.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.cmd.Process.Kill()
	<-s.done
}

// Stop kills the server and removes its directory.
func (s *Server) Stop() {
	s.Kill()
	_ = os.RemoveAll(s.dir)
}

// Engine is the server as an engine, with a prefix of the test's own.
func (s *Server) Engine() Engine {
	return Engine{Name: "redis", Addr: s.Addr, Prefix: newPrefix()}
}

// Patience is how long a test waits for what must happen: so long that only what never
// happens takes longer, on however busy a machine.
const Patience = 10 * time.Minute

// Context is a context that the test's end cancels, and that fails the test's waits
// rather than hang them.
func Context(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}
