// Package rig starts what the benchmarks run against, a redis-server and an argus server as
// separate processes, and measures what both use.
package rig

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/hikmaai-io/argus-queue/server/codec"
)

// Rig is a Redis and a server in front of it.
type Rig struct {
	RedisAddr string
	Addr      string          // of the server
	Raw       *goredis.Client // connected to Redis directly

	httpAddr    string
	dir         string
	redis       *exec.Cmd
	server      *exec.Cmd
	sharesRedis bool // another Rig owns the Redis
	mu          sync.Mutex
	conns       map[int]*grpc.ClientConn
}

// Options configure a Rig.
type Options struct {
	// NoTracking denies the server CLIENT TRACKING, so that it polls the keys it watches.
	NoTracking bool
	// Config is the server's settings file, in YAML.
	Config string
}

// Start builds argus, and starts a redis-server and the server.
func Start(ctx context.Context, o Options) (r *Rig, err error) {
	r = &Rig{conns: make(map[int]*grpc.ClientConn)}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if r.dir, err = os.MkdirTemp("", "argus-bench-"); err != nil {
		return r, err
	}
	if err = r.startRedis(ctx, o); err != nil {
		return r, err
	}
	return r, r.startServer(ctx, o)
}

func (r *Rig) startRedis(ctx context.Context, o Options) (err error) {
	if r.RedisAddr, err = freeAddr(); err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(r.RedisAddr)
	r.redis = command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", r.dir, "--maxclients", "100000")
	if err := r.redis.Start(); err != nil {
		return err
	}
	r.Raw = goredis.NewClient(&goredis.Options{Addr: r.RedisAddr, Protocol: 2, DisableIdentity: true})
	if err := until(ctx, func() bool { return r.Raw.Ping(ctx).Err() == nil }); err != nil {
		return err
	}
	if o.NoTracking {
		return r.Raw.Do(ctx, "ACL", "SETUSER", "default", "-client|tracking").Err()
	}
	return nil
}

func (r *Rig) startServer(ctx context.Context, o Options) (err error) {
	binary := filepath.Join(r.dir, "argus")
	if err := buildArgus(binary); err != nil {
		return err
	}
	if r.Addr, err = freeAddr(); err != nil {
		return err
	}
	if r.httpAddr, err = freeAddr(); err != nil {
		return err
	}
	config := filepath.Join(r.dir, "argus.yaml")
	if err := os.WriteFile(config, []byte(o.Config), 0o600); err != nil {
		return err
	}
	r.server = command(binary, "serve", "--config", config, "--redis-addr", r.RedisAddr, "--grpc-addr", r.Addr, "--log-level", "error", "--http-addr", r.httpAddr)
	if err := r.server.Start(); err != nil {
		return err
	}
	return until(ctx, r.acceptsConnections)
}

// buildArgus builds the argus command inside the service's module, with the dependencies it
// is released with.
func buildArgus(path string) error {
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/hikmaai-io/argus-queue").Output()
	if err != nil {
		return fmt.Errorf("find the service's module: %w", err)
	}
	build := exec.Command("go", "build", "-o", path, "./cmd/argus")
	build.Dir = strings.TrimSpace(string(module))
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build argus: %w: %s", err, out)
	}
	return nil
}

// StartServer starts another server, a command that listens at addr, on the same Redis. The
// caller closes the returned Rig before r.
func (r *Rig) StartServer(ctx context.Context, server func(addr string) *exec.Cmd) (*Rig, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	other := &Rig{RedisAddr: r.RedisAddr, Addr: addr, Raw: r.Raw, redis: r.redis, sharesRedis: true, server: server(addr), conns: make(map[int]*grpc.ClientConn)}
	if err := other.server.Start(); err != nil {
		return nil, err
	}
	return other, until(ctx, other.acceptsConnections)
}

func (r *Rig) acceptsConnections() bool {
	c, err := net.Dial("tcp", r.Addr)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// Close stops the processes that the Rig started.
func (r *Rig) Close() {
	for _, conn := range r.conns {
		_ = conn.Close()
	}
	stop(r.server)
	if !r.sharesRedis {
		stop(r.redis)
	}
	if r.dir != "" {
		_ = os.RemoveAll(r.dir)
	}
}

// Conn is the nth connection to the server. It is opened on first use and closed by Close.
func (r *Rig) Conn(n int) *grpc.ClientConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns[n] == nil {
		conn, err := grpc.NewClient(r.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec.New())), grpc.WithStaticStreamWindowSize(256<<10), grpc.WithStaticConnWindowSize(1<<20))
		if err != nil {
			panic(err) // NewClient fails on a malformed address only
		}
		r.conns[n] = conn
	}
	return r.conns[n]
}
