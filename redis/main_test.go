package redis_test

import (
	"context"
	"os"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestMain(m *testing.M) {
	goredis.SetLogger(silent{}) // tests kill servers, and the driver logs it
	os.Exit(redistest.Main(m))
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// connect opens a client with long timeouts, so that a busy machine does not fail a test.
func connect(t *testing.T, e redistest.Engine) *redis.Client {
	t.Helper()
	client, err := redis.NewClient(redis.Config{Addr: e.Addr, Username: e.Username, Password: e.Password, Prefix: e.Prefix,
		ReadTimeout: redistest.Patience, WriteTimeout: redistest.Patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}
