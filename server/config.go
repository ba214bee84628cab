package server

import (
	"cmp"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	"github.com/hikmaai-io/argus-queue/server/internal/guard"
)

// Config holds the settings of a Server. The zero value of a field means its default.
type Config struct {
	// Broker does the work; required. The caller closes it, after the server's Shutdown.
	Broker Broker
	// Logger gets a record of each call; default slog.Default. Successful calls are logged at
	// debug level. Payloads are never logged.
	Logger *slog.Logger
	// MaxWait caps how long a Read or an Await waits; default 60 s.
	MaxWait time.Duration
	// SendTimeout is how long a client may read nothing of its stream or of large responses;
	// default 8 s.
	SendTimeout time.Duration
	// MaxConnections bounds the open connections, default 10,000, and MaxConnectionsPerPeer
	// those from one address, default 5,000. Further ones are refused.
	MaxConnections        int
	MaxConnectionsPerPeer int

	// MaxCalls bounds the open calls, streams among them, default 100,000; MaxWatchedJobs the
	// jobs that all streams watch, default 1,000,000. Further ones are refused.
	MaxCalls       int
	MaxWatchedJobs int
	// MaxRequestBytes bounds the large requests (above 64 KiB) on their way to the server, and
	// separately those of running calls; default 512 MiB. Further ones wait at the clients, or
	// are refused.
	MaxRequestBytes int

	// Only tests set these.
	timeouts     guard.Timeouts
	minHeartbeat time.Duration // the shortest heartbeat interval of a client
	options      []grpc.ServerOption
}

// withDefaults fills in the fields that are not set.
func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.timeouts == (guard.Timeouts{}) {
		c.timeouts = guard.DefaultTimeouts()
	}
	c.MaxWait = cmp.Or(c.MaxWait, time.Minute)
	c.timeouts.Send = cmp.Or(c.SendTimeout, c.timeouts.Send)
	c.MaxConnections = cmp.Or(c.MaxConnections, 10_000)
	c.MaxConnectionsPerPeer = cmp.Or(c.MaxConnectionsPerPeer, 5_000)
	c.MaxCalls = cmp.Or(c.MaxCalls, 100_000)
	c.MaxWatchedJobs = cmp.Or(c.MaxWatchedJobs, 1_000_000)
	c.MaxRequestBytes = cmp.Or(c.MaxRequestBytes, 512<<20)
	c.minHeartbeat = cmp.Or(c.minHeartbeat, time.Second)
	return c
}

func (c *Config) limits() guard.Limits {
	return guard.Limits{Connections: c.MaxConnections, ConnectionsPerPeer: c.MaxConnectionsPerPeer,
		Calls: c.MaxCalls, RequestBytes: c.MaxRequestBytes}
}
