package serve

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/settings"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// config has the settings of dev and serve.
type config struct {
	settings *settings.Settings

	GRPCAddr        string
	HTTPAddr        string
	HTTPPprof       bool
	MaxWait         time.Duration
	ShutdownTimeout time.Duration
	LogLevel        string
	LogFormat       string
	Redis           redisConfig
	Broker          job.Settings
	limits
	encoding string
	groups   settings.Names
	isDev    bool
}

// limits bound what all clients of a server may use together.
type limits struct {
	MaxConnections, MaxConnectionsPerPeer, MaxCalls, MaxWatchedJobs int
}

// redisConfig has the settings of the connection to Redis.
type redisConfig struct {
	redis.Config
	Enabled              bool
	PasswordFile         string
	SentinelPasswordFile string
	TLS                  settings.TLS
}

// useRedis reports whether to use a Redis. dev uses one only if the user names it, or sets
// redis.enabled.
func (c *config) useRedis() bool {
	if c.isDev && !c.settings.Given("redis.enabled") {
		return c.settings.Given("redis.addr")
	}
	return c.Redis.Enabled
}

// load resolves the settings, checks them, and reports all errors at once.
func (c *config) load(env func(string) (string, bool)) error {
	if err := c.settings.Resolve(env); err != nil {
		return shell.UsageError(err)
	}
	c.Broker.Queue.Encoding = job.Encoding(c.encoding)
	c.Broker.Queue.Groups = job.Groups(c.groups)
	secretsErr, checkErr := c.readSecrets(), c.check()
	if err := errors.Join(secretsErr, checkErr, c.rename(c.Redis.Validate(), redisKey), c.rename(c.Broker.Validate(), brokerKey)); err != nil {
		return shell.UsageError(err)
	}
	return nil
}

// readSecrets reads the files with passwords, certificates and keys.
func (c *config) readSecrets() error {
	s, r := c.settings, &c.Redis
	tls, tlsErr := r.TLS.Load(s, "redis.")
	r.Config.TLS = tls
	return errors.Join(tlsErr,
		s.SecretFile(&r.Password, "redis.password", r.PasswordFile),
		s.SecretFile(&r.SentinelPassword, "redis.sentinel_password", r.SentinelPasswordFile))
}

// rename makes the arguments that an error is about name the settings that they come from. key is
// the setting of a field.
func (c *config) rename(err error, key func(field string) string) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, inner := range joined.Unwrap() {
			errs = append(errs, c.rename(inner, key))
		}
		return errors.Join(errs...)
	}
	var argument *job.ArgumentError
	if !errors.As(err, &argument) {
		return err
	}
	return fmt.Errorf("%s: %s", c.settings.Name(key(argument.Field)), argument.Problem)
}

// redisKey is the setting of a field of redis.Config.
func redisKey(field string) string { return "redis." + field }

// brokerKey is the setting of a field of job.Settings.
func brokerKey(field string) string {
	switch field {
	case "default_queue", "default_group":
		return strings.TrimPrefix(field, "default_")
	}
	return strings.TrimPrefix(field, "queue.")
}
