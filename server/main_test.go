package server_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestMain(m *testing.M) {
	goredis.SetLogger(silent{}) // tests kill servers; the driver would log that
	code := redistest.Main(m)
	if code == 0 {
		if err := goleak.Find(); err != nil { // every goroutine has an owner that ended it
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}
