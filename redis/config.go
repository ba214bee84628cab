package redis

import (
	"crypto/tls"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
)

// Config says where Redis is and how to talk to it. The zero value of a field means
// its default.
type Config struct {
	// Addr is host:port of a standalone server; default localhost:6379. With Cluster
	// or MasterName it may list several, separated by commas.
	Addr string
	// MasterName selects Sentinel: Addr lists the sentinels, and this is the name of
	// the master they watch.
	MasterName string
	// Cluster selects Redis Cluster: Addr lists some of its nodes. Prefix must then
	// contain a hash tag, such as "{argus}:", so that a script's keys share a slot.
	Cluster bool
	// Username is the ACL user; empty means the default user.
	Username string
	Password string
	// SentinelPassword is for the sentinels themselves.
	SentinelPassword string
	DB               int
	// Prefix is put in front of every key, as it is. One tenant, one prefix.
	Prefix string
	// Shards, if not 0, is the number of prefixes that the tenant's jobs are spread over:
	// of "argus:" these are "{argus:00}:", "{argus:01}:" … See Shards.
	Shards int
	// PoolSize is the number of connections for commands; default 10. Blocking reads
	// have connections of their own.
	PoolSize int
	// ReadTimeout and WriteTimeout bound one exchange with Redis; default 5 s.
	ReadTimeout  time.Duration
	WriteTimeout time.Duration
	// TLS switches on TLS.
	TLS *tls.Config
}

// Validate reports what is wrong with the settings, without connecting.
func (c Config) Validate() error { return conn.Config(c).Validate() }
