package conn

import (
	"crypto/tls"
	"errors"
	"strings"
	"time"
	"unicode"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Config says where Redis is and how to talk to it. Its fields are those of redis.Config, which
// documents them: the compiler keeps the two alike, because one is converted to the other.
type Config struct {
	Addr             string
	MasterName       string
	Cluster          bool
	Username         string
	Password         string
	SentinelPassword string
	DB               int
	Prefix           string
	Shards           int
	PoolSize         int
	ReadTimeout      time.Duration
	WriteTimeout     time.Duration
	TLS              *tls.Config
}

func (c Config) withDefaults() Config {
	if c.Addr == "" {
		c.Addr = "localhost:6379"
	}
	if c.PoolSize == 0 {
		c.PoolSize = 10
	}
	if c.ReadTimeout == 0 {
		c.ReadTimeout = 5 * time.Second
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = 5 * time.Second
	}
	return c
}

// Validate reports what is wrong with the settings, without connecting.
func (c Config) Validate() error {
	var errs []error
	if i := strings.IndexFunc(c.Prefix, func(r rune) bool { return unicode.IsControl(r) || strings.ContainsRune(`*?[]\`, r) }); i >= 0 {
		errs = append(errs, job.Invalid("prefix", "must not contain control or glob characters (there is one at byte %d)", i))
	}
	if len(c.Prefix) > job.MaxNameBytes {
		errs = append(errs, job.Invalid("prefix", "has %d bytes, at most %d are allowed", len(c.Prefix), job.MaxNameBytes))
	}
	if c.Shards < 0 || c.Shards > job.MaxShards {
		errs = append(errs, job.Invalid("shards", "is %d, want 1 to %d, or 0 for one prefix as it is", c.Shards, job.MaxShards))
	}
	if c.Shards > 0 && strings.ContainsAny(job.ShardBase(c.Prefix), "{}") {
		errs = append(errs, job.Invalid("prefix", "must not contain braces inside: each shard puts its own around the whole of it"))
	}
	if c.Cluster && c.Shards == 0 && job.HashTag(c.Prefix) == "" {
		errs = append(errs, job.Invalid("prefix", "Redis Cluster needs a hash tag in the prefix, so that the keys of a job share a slot: use %q instead of %q, or spread the jobs over several shards",
			"{"+strings.TrimSuffix(c.Prefix, ":")+"}:", c.Prefix))
	}
	if c.Cluster && c.MasterName != "" {
		errs = append(errs, job.Invalid("cluster", "choose either Cluster or Sentinel"))
	}
	if c.Cluster && c.DB != 0 {
		errs = append(errs, job.Invalid("db", "Redis Cluster has database 0 only"))
	}
	if c.DB < 0 {
		errs = append(errs, job.Invalid("db", "must not be negative"))
	}
	if c.PoolSize < 0 {
		errs = append(errs, job.Invalid("pool_size", "must be positive"))
	}
	if c.ReadTimeout < 0 || c.WriteTimeout < 0 {
		errs = append(errs, job.Invalid("read_timeout", "time-outs must be positive"))
	}
	return errors.Join(errs...)
}

// options are the driver's settings. It must not retry by itself: a lost reply would
// make one XADD write two entries.
func (c Config) options() *goredis.UniversalOptions {
	return &goredis.UniversalOptions{
		Addrs:                    strings.Split(strings.ReplaceAll(c.Addr, " ", ""), ","),
		MasterName:               c.MasterName,
		IsClusterMode:            c.Cluster,
		Username:                 c.Username,
		Password:                 c.Password,
		SentinelPassword:         c.SentinelPassword,
		DB:                       c.DB,
		Protocol:                 2,
		PoolSize:                 c.PoolSize,
		PoolTimeout:              c.ReadTimeout,
		ReadTimeout:              c.ReadTimeout,
		WriteTimeout:             c.WriteTimeout,
		DialTimeout:              min(c.ReadTimeout, 2*time.Second),
		DialerRetries:            1,
		MaxRetries:               -1,
		ContextTimeoutEnabled:    true,
		TLSConfig:                c.TLS,
		DisableIdentity:          true,
		ReadBufferSize:           resp.BufferSize,
		WriteBufferSize:          resp.BufferSize,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}
