package serve

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/server"
)

// run serves until ctx ends. It calls started once the server listens.
func run(ctx context.Context, p *shell.Process, c *config, started func(addr string, s *store)) (err error) {
	if err := c.load(p.Env); err != nil {
		return err
	}
	log, err := c.logger(p.Stderr)
	if err != nil {
		return err
	}
	for _, warning := range c.settings.Warnings() {
		log.Warn(warning)
	}
	defer exitWithin(ctx, c.ShutdownTimeout+exitSpare, log)() // first, so that it covers the other deferred calls
	goredis.SetLogger(driverLog{log})
	listener, err := c.listen("grpc_addr", c.GRPCAddr)
	if err != nil {
		return err
	}
	defer listener.Close()
	warnIfOpen(log, listener.Addr(), "listening beyond this machine without authentication and TLS: whatever reaches the port controls the queues")

	store, err := openStore(c)
	if err != nil {
		return err
	}
	defer store.close()
	b, err := openBroker(ctx, store.client, c, log)
	if err != nil {
		return err
	}
	defer b.Close()
	stopHTTP, err := c.serveHTTP(b, log)
	if err != nil {
		return err
	}
	defer stopHTTP()
	go adjustGC(ctx)
	return c.serveGRPC(ctx, listener, b, log, func() { started(displayAddr(c.GRPCAddr, listener.Addr()), store) })
}

// serveGRPC serves until ctx ends, and then lets calls finish within the shutdown time-out.
func (c *config) serveGRPC(ctx context.Context, listener net.Listener, b *broker.Broker, log *slog.Logger, started func()) (err error) {
	s := server.New(server.Config{Broker: b, Logger: log, MaxWait: c.MaxWait,
		MaxConnections: c.MaxConnections, MaxConnectionsPerPeer: c.MaxConnectionsPerPeer, MaxCalls: c.MaxCalls, MaxWatchedJobs: c.MaxWatchedJobs})
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	started()
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

// exitSpare is how much longer than shutdown_timeout the process may take to exit.
const exitSpare = 2 * time.Second

// exitWithin ends the process some time after ctx ends, unless the returned function is called
// before: a Lua script that never ends would block the embedded store, and with it the shutdown.
func exitWithin(ctx context.Context, d time.Duration, log *slog.Logger) (stop func()) {
	returned := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
		case <-returned:
			return
		}
		select {
		case <-time.After(d):
			log.Error("the shutdown takes too long; exiting without waiting for what still runs", "after", d.String())
			os.Exit(shell.ExitFailure)
		case <-returned:
		}
	}()
	return func() { close(returned) }
}

// openBroker checks the Redis, if it is one, and starts a broker.
func openBroker(ctx context.Context, client *redis.Client, c *config, log *slog.Logger) (*broker.Broker, error) {
	c.Broker.Logger = log
	if c.useRedis() {
		if err := checkRedis(ctx, client, c, log); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Redis.ReadTimeout)
	defer cancel()
	b, err := broker.New(ctx, client, c.Broker)
	return b, c.redisError(err)
}

// redisError makes an error of Redis name the setting that it is about.
func (c *config) redisError(err error) error {
	if errors.Is(err, job.ErrInvalid) {
		return shell.UsageError(c.rename(err, redisKey))
	}
	return err
}
