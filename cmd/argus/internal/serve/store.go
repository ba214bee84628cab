package serve

import (
	"fmt"
	"strings"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// store is a Redis, or the embedded store.
type store struct {
	client *redis.Client
	name   string // for the banner
	// redisCLI is the command that opens the embedded store; "" for a Redis.
	redisCLI string
	close    func()
}

// openStore opens the store that the settings name.
func openStore(c *config) (*store, error) {
	if !c.useRedis() {
		return openEmbedded(c.Redis.Config)
	}
	client, err := newClient(c.Redis.Config)
	if err != nil {
		return nil, err
	}
	return &store{client: client, name: "Redis at " + c.Redis.Addr, close: func() { _ = client.Close() }}, nil
}

// openEmbedded starts an embedded store and connects to it, with the other settings of config.
func openEmbedded(config redis.Config) (*store, error) {
	e, err := startEmbedded()
	if err != nil {
		return nil, err
	}
	config.Addr, config.Username, config.Password, config.DB = e.addr(), "", e.password, 0
	config.Cluster, config.MasterName, config.TLS = false, "", nil
	client, err := newClient(config)
	if err != nil {
		e.close()
		return nil, err
	}
	return &store{client: client, name: fmt.Sprintf("embedded at %s (lost on exit); --redis-addr for a real one", e.addr()),
		redisCLI: e.redisCLI(), close: func() { _ = client.Close(); e.close() }}, nil
}

func newClient(config redis.Config) (*redis.Client, error) {
	client, err := redis.NewClient(config)
	if err != nil {
		return nil, shell.Exitf(shell.ExitUnavailable,
			"can't use Redis at %s (%s). Is it running, and are --redis-addr and the password right? `argus dev` needs no Redis", config.Addr, rootCause(err))
	}
	return client, nil
}

// rootCause is the message of Redis or the network, without the wrapping errors.
func rootCause(err error) string {
	text := strings.TrimSuffix(err.Error(), ".")
	if _, cause, ok := strings.Cut(text, job.ErrUnavailable.Error()+": "); ok {
		return cause
	}
	return text
}
