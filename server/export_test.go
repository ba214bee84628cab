package server

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
)

// What tests set beyond a Config's fields.

func (c *Config) bear() *patience {
	if c.patience == (patience{}) {
		c.patience = defaultPatience
	}
	return &c.patience
}

func (c *Config) SetHandshake(d time.Duration) { c.bear().handshake = d }
func (c *Config) SetRequest(d time.Duration)   { c.bear().request = d }
func (c *Config) SetIdle(d time.Duration)      { c.bear().idle = d }
func (c *Config) SetMinPing(d time.Duration)   { c.bear().minPing = d }
func (c *Config) SetHeartbeat(d time.Duration) { c.bear().heartbeat = d }
func (c *Config) SetStall(d time.Duration)     { c.bear().stall = d }
func (c *Config) SetPings(after, timeout time.Duration) {
	c.bear().pingAfter, c.bear().pingTimeout = after, timeout
}

// SetStats has a handler told of connections and calls.
func (c *Config) SetStats(h stats.Handler) { c.options = append(c.options, grpc.StatsHandler(h)) }

const (
	MaxRequest = maxRequest
	MaxStreams = maxStreams
	MaxUnread  = maxUnread

	StreamWindow  = streamWindow
	MaxUnfinished = maxUnfinished
)

// MinPing is how often a client may ping.
var MinPing = defaultPatience.minPing
