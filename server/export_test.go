package server

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	"github.com/hikmaai-io/argus-queue/server/internal/guard"
)

// The settings of a Config that only tests change.

// Timeouts returns the time-outs for a test to change.
func (c *Config) Timeouts() *guard.Timeouts {
	if c.timeouts == (guard.Timeouts{}) {
		c.timeouts = guard.DefaultTimeouts()
	}
	return &c.timeouts
}

// SetMinHeartbeat sets the shortest heartbeat interval of a client.
func (c *Config) SetMinHeartbeat(d time.Duration) { c.minHeartbeat = d }

// SetStats adds a handler of the events of connections and calls.
func (c *Config) SetStats(h stats.Handler) { c.options = append(c.options, grpc.StatsHandler(h)) }
