package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"syscall"

	goredis "github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/server"
)

func (p *program) serve() *cobra.Command {
	command := &cobra.Command{
		Use:   "serve",
		Short: "Serve gRPC over a Redis",
		Long: `Serve gRPC over a Redis (6.2 or newer, Valkey, Sentinel or Cluster).

A setting is taken from its flag, else from its environment variable (in brackets),
else from the YAML file, else its default. redis.pool_size in YAML is
--redis-pool-size and ARGUS_REDIS_POOL_SIZE. The file may also hold a section
"queues" with the settings of single queues.`,
		Example: `  argus serve
  argus serve --redis-addr redis:6379 --redis-password-file /run/secrets/redis
  argus serve --config argus.yaml
  argus serve --redis-cluster --redis-addr n1:6379,n2:6379 --redis-shards 12`,
		Args: noArgs,
	}
	config := newConfig(command.Flags())
	command.RunE = func(command *cobra.Command, _ []string) error {
		return p.run(command.Context(), config, func(addr, store string) {
			fmt.Fprintf(p.stdout, "argus serve: gRPC on %s (reflection, health), store %s\n", addr, store)
		})
	}
	return command
}

func (p *program) dev() *cobra.Command {
	command := &cobra.Command{
		Use:   "dev",
		Short: "Try it: gRPC over an in-memory store, nothing to set up",
		Long: `Serve gRPC over a store in this process's memory, for trying things out. Everything
is lost on exit. With --redis-addr it uses a Redis instead, as serve does.

It takes the same settings as serve.`,
		Example: `  argus dev
  argus dev --grpc-addr localhost:7300
  argus dev --redis-addr localhost:6379`,
		Args: noArgs,
	}
	config := newConfig(command.Flags())
	config.isDev = true
	command.RunE = func(command *cobra.Command, _ []string) error {
		return p.run(command.Context(), config, func(addr, store string) {
			fmt.Fprintf(p.stdout, `argus dev: no authentication, no TLS: not for production
  gRPC       %s      (reflection, health)
  Store      %s
  Try        argus publish --job-id demo-1 --scanner trivy --wait%s
`, addr, store, addrFlag(addr))
		})
	}
	return command
}

// run serves until ctx ends. started is called once the server listens.
func (p *program) run(ctx context.Context, c *config, started func(addr, store string)) (err error) {
	if err := c.load(p.env); err != nil {
		return err
	}
	log, err := c.logger(p.stderr)
	if err != nil {
		return err
	}
	goredis.SetLogger(driverLog{log})
	listener, err := listen("grpc_addr", c.GRPCAddr)
	if err != nil {
		return err
	}
	defer listener.Close()
	warnIfOpen(log, listener.Addr())

	client, store, closeStore, err := openStore(c, log)
	if err != nil {
		return err
	}
	defer closeStore()
	c.Broker.Logger = log
	if c.useRedis() {
		if err := checkRedis(ctx, client, c, log); err != nil {
			return err
		}
	}
	broker, err := newBroker(ctx, client, c)
	if err != nil {
		return err
	}
	defer broker.Close()

	stopHTTP, err := serveHTTP(c.HTTPAddr, c.HTTPPprof, broker, log)
	if err != nil {
		return err
	}
	defer stopHTTP()
	go spareGC(ctx)
	s := server.New(server.Config{Broker: broker, Logger: log, MaxWait: c.MaxWait, MaxConnections: c.MaxConnections})
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	started(displayAddr(c.GRPCAddr, listener.Addr()), store)
	select {
	case err = <-served:
	case <-ctx.Done():
		log.Info("shutting down")
	}
	grace, cancel := context.WithTimeout(context.Background(), c.ShutdownTimeout)
	defer cancel()
	s.Shutdown(grace)
	return err
}

// broker is what serve and dev run.
type broker interface {
	server.Broker
	WaitStats() redis.WaitStats
	Close()
}

// newBroker starts a broker, or one for each shard.
func newBroker(ctx context.Context, client *redis.Client, c *config) (broker, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Redis.ReadTimeout)
	defer cancel()
	if c.Redis.Shards > 0 {
		shards, err := redis.NewShards(ctx, client, c.Broker)
		return shards, inRedis(err)
	}
	if err := client.CheckShards(ctx); err != nil {
		return nil, inRedis(err)
	}
	return redis.NewBroker(client, c.Broker)
}

// inRedis tells where the setting is that an error names.
func inRedis(err error) error {
	if errors.Is(err, redis.ErrInvalid) {
		return usageError(fmt.Errorf("redis.%w", err))
	}
	return err
}

// addrFlag is what a client needs to find an address that is not the default.
func addrFlag(addr string) string {
	if addr == defaultAddr {
		return ""
	}
	return " --addr " + addr
}

func listen(key, addr string) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is taken, perhaps by another argus; stop that one or choose another address with --%s", addr, flagName(key))
	case err != nil:
		return nil, usageError(fmt.Errorf("%s: %w", key, err))
	}
	return listener, nil
}

// displayAddr is the address as a person would type it: what was asked for, with the
// port that was given out.
func displayAddr(asked string, given net.Addr) string {
	host, _, err := net.SplitHostPort(asked)
	_, port, err2 := net.SplitHostPort(given.String())
	if err != nil || err2 != nil || host == "" {
		return given.String()
	}
	return net.JoinHostPort(host, port)
}

func warnIfOpen(log *slog.Logger, addr net.Addr) {
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		log.Warn("listening beyond this machine without authentication and TLS: whoever reaches the port controls the queues",
			"addr", addr.String())
	}
}

// openStore opens Redis or the embedded store.
func openStore(c *config, log *slog.Logger) (client *redis.Client, name string, closeAll func(), err error) {
	config := c.Redis.Config
	name = "Redis at " + config.Addr
	closeEmbedded := func() {}
	if !c.useRedis() {
		e, err := startEmbedded()
		if err != nil {
			return nil, "", nil, err
		}
		closeEmbedded = e.close
		config.Addr, config.Username, config.Password, config.DB = e.addr(), "", "", 0
		config.Cluster, config.MasterName, config.TLS = false, "", nil
		name = fmt.Sprintf("embedded at %s (lost on exit); --redis-addr for a real one", e.addr())
	}
	client, err = redis.NewClient(config)
	if err != nil {
		closeEmbedded()
		return nil, "", nil, codedError{code: exitUnavailable, err: fmt.Errorf(
			"can't use Redis at %s (%s). Is it running, and are --redis-addr and the password right? `argus dev` needs no Redis", config.Addr, rootCause(err))}
	}
	return client, name, func() { _ = client.Close(); closeEmbedded() }, nil
}

// rootCause is what Redis or the network said, without the chain of who noticed it.
func rootCause(err error) string {
	text := strings.TrimSuffix(err.Error(), ".")
	if _, cause, ok := strings.Cut(text, redis.ErrUnavailable.Error()+": "); ok {
		return cause
	}
	return text
}

// checkRedis refuses a Redis whose ACL would let calls fail half-way, and warns of what else may
// lose data. What it can't find out is no reason not to start.
func checkRedis(ctx context.Context, client *redis.Client, c *config, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, c.Redis.ReadTimeout)
	defer cancel()
	permissions, err := client.Permissions(ctx, c.Broker)
	if err != nil {
		log.Warn("could not check the permissions of the Redis user", "error", err)
	}
	if err := permissions.Err(); err != nil {
		return usageError(fmt.Errorf("redis.username: %w", err))
	}
	if err := client.CheckPrefix(ctx); errors.Is(err, redis.ErrInvalid) {
		return inRedis(err)
	} else if err != nil {
		log.Warn("could not check whether another prefix begins with this one", "error", err)
	}
	for _, rule := range slices.Sorted(maps.Keys(permissions.Optional)) {
		log.Warn("the Redis user lacks a permission", "rule", rule, "without_it", permissions.Optional[rule])
	}
	warnOfEviction(ctx, client, log)
	return nil
}

// warnOfEviction warns of a Redis that deletes what it holds when it is full.
func warnOfEviction(ctx context.Context, client *redis.Client, log *slog.Logger) {
	policy, err := client.EvictionPolicy(ctx)
	switch {
	case err != nil:
		log.Debug("Redis does not tell its eviction policy", "error", err)
	case strings.HasPrefix(policy, "allkeys-"):
		log.Warn("Redis deletes whole queues when its memory is full: set maxmemory-policy noeviction", "maxmemory-policy", policy)
	case strings.HasPrefix(policy, "volatile-"):
		log.Warn("Redis deletes states, results, dead letters and request ids when its memory is full: set maxmemory-policy noeviction",
			"maxmemory-policy", policy)
	}
}

// driverLog takes the driver's own log: what matters of it comes as errors anyway.
type driverLog struct{ log *slog.Logger }

func (d driverLog) Printf(ctx context.Context, format string, args ...any) {
	d.log.DebugContext(ctx, "redis driver", "message", fmt.Sprintf(format, args...))
}
