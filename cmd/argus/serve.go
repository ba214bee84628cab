package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

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
		Args: noArgsBut("argus serve --config %s"),
	}
	config := newConfig(command.Flags())
	command.RunE = func(command *cobra.Command, _ []string) error {
		return p.run(command.Context(), config, func(addr string, s *store) {
			fmt.Fprintf(p.stdout, "argus serve: gRPC on %s (reflection, health), store %s\n", addr, s.name)
		})
	}
	return command
}

func (p *program) dev() *cobra.Command {
	command := &cobra.Command{
		Use:   "dev",
		Short: "Try it: gRPC over an in-memory store, nothing to set up",
		Long: `Serve gRPC over a store in this process's memory, for trying things out. Everything
is lost on exit. With --redis-addr it uses a Redis instead, as serve does. The store has a
password, a new one at each start: the line of the banner with redis-cli has it.

It takes the same settings as serve.`,
		Example: `  argus dev
  argus dev --grpc-addr localhost:7300
  argus dev --redis-addr localhost:6379`,
		Args: noArgs,
	}
	config := newConfig(command.Flags())
	config.isDev = true
	command.RunE = func(command *cobra.Command, _ []string) error {
		return p.run(command.Context(), config, func(addr string, s *store) {
			lookIn := ""
			if s.redisCLI != "" {
				lookIn = "\n             " + s.redisCLI
			}
			fmt.Fprintf(p.stdout, `argus dev: no authentication, no TLS: not for production
  gRPC       %s      (reflection, health)
  Store      %s%s
  Work       argus worker%s -- echo done
  Try        argus publish --job-id demo-1 --scanner trivy --wait%s
`, addr, s.name, lookIn, addrFlag(addr), addrFlag(addr))
		})
	}
	return command
}

// run serves until ctx ends. started is called once the server listens.
func (p *program) run(ctx context.Context, c *config, started func(addr string, s *store)) (err error) {
	if err := c.load(p.env); err != nil {
		return err
	}
	log, err := c.logger(p.stderr)
	if err != nil {
		return err
	}
	for _, warning := range c.warnings {
		log.Warn(warning)
	}
	defer endWithin(ctx, c.ShutdownTimeout+exitSpare, log)() // first, so that it covers all that is deferred
	goredis.SetLogger(driverLog{log})
	listener, err := c.listen("grpc_addr", c.GRPCAddr)
	if err != nil {
		return err
	}
	defer listener.Close()
	warnIfOpen(log, listener.Addr(), "listening beyond this machine without authentication and TLS: whatever reaches the port controls the queues")

	store, err := openStore(c, log)
	if err != nil {
		return err
	}
	defer store.close()
	c.Broker.Logger = log
	if c.useRedis() {
		if err := checkRedis(ctx, store.client, c, log); err != nil {
			return err
		}
	}
	broker, err := newBroker(ctx, store.client, c)
	if err != nil {
		return err
	}
	defer broker.Close()

	stopHTTP, err := c.serveHTTP(broker, log)
	if err != nil {
		return err
	}
	defer stopHTTP()
	go spareGC(ctx)
	s := server.New(server.Config{Broker: broker, Logger: log, MaxWait: c.MaxWait,
		MaxConnections: c.MaxConnections, MaxConnectionsPerPeer: c.MaxConnectionsPerPeer, MaxCalls: c.MaxCalls, MaxWatchedJobs: c.MaxWatchedJobs})
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

// exitSpare is how much longer than shutdown_timeout the end of the program may take.
const exitSpare = 2 * time.Second

// endWithin ends the program some time after ctx ends, whatever it does by then: a script that
// never ends holds up the embedded store for ever. The returned function takes it back.
func endWithin(ctx context.Context, d time.Duration, log *slog.Logger) (stop func()) {
	returned := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
		case <-returned:
			return
		}
		select {
		case <-time.After(d):
			log.Error("the shutdown takes too long; what still runs is given up", "after", d.String())
			os.Exit(exitError)
		case <-returned:
		}
	}()
	return func() { close(returned) }
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
		return shards, c.inRedis(err)
	}
	if err := redis.CheckShards(ctx, client); err != nil {
		return nil, c.inRedis(err)
	}
	return redis.NewBroker(client, c.Broker)
}

// inRedis makes an error name the setting that it is about.
func (c *config) inRedis(err error) error {
	if errors.Is(err, redis.ErrInvalid) {
		return usageError(c.rename(err, redisKey))
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

func (c *config) listen(key, addr string) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is taken, perhaps by another argus; stop that one or choose another address with --%s", addr, flagName(key))
	case err != nil:
		return nil, usageError(fmt.Errorf("%s: %w", c.name(key), err))
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

// warnIfOpen warns of a port that other machines can reach.
func warnIfOpen(log *slog.Logger, addr net.Addr, warning string) {
	if !isLocal(addr) {
		log.Warn(warning, "addr", addr.String())
	}
}

// isLocal is true of an address that only this machine can reach.
func isLocal(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback()
}
