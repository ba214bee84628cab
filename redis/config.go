package redis

import (
	"crypto/tls"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
)

// Config says where Redis is and how to connect to it. The zero value of a field means its default.
type Config struct {
	// Addr is host:port of a standalone server; default localhost:6379. With Cluster or MasterName it may
	// list several, separated by commas.
	Addr string
	// MasterName selects Sentinel: Addr lists the sentinels, and this is the name of the master that they
	// watch.
	MasterName string
	// Cluster selects Redis Cluster: Addr lists some of its nodes. Without Shards, Prefix must then contain
	// a hash tag, such as "{argus}:", so that the keys of a script share a slot.
	Cluster bool
	// Username is the ACL user; empty means the default user.
	Username string
	Password string
	// SentinelPassword is the password of the sentinels; Password is that of the servers they watch.
	SentinelPassword string
	DB               int
	// Prefix begins every key, as it is. Each tenant has its own.
	Prefix string
	// Shards, if not 0, is the number of prefixes over which a broker spreads the jobs of the tenant: for the
	// prefix "argus:" they are "{argus:00}:", "{argus:01}:" … See broker.Broker.
	Shards int
	// PoolSize is the number of connections for commands; default 10. Blocking reads use separate connections.
	PoolSize int
	// ReadTimeout and WriteTimeout bound one exchange with Redis; default 5 s.
	ReadTimeout  time.Duration
	WriteTimeout time.Duration
	// TLS, if not nil, enables TLS.
	TLS *tls.Config
}

// Validate reports what is wrong with the settings, without connecting.
func (c Config) Validate() error { return conn.Config(c).Validate() }
