package server_test

import (
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/server"
)

// fillSocket makes the server write more than the socket buffers hold.
func (raw *rawClient) fillSocket() {
	raw.t.Helper()
	raw.must(0, raw.conn.(*net.TCPConn).SetReadBuffer(4<<10))
	raw.must(0, raw.WriteWindowUpdate(0, 1<<30))
	for range unreadStates {
		raw.call(getAll, &argusv1.GetAllRequest{JobId: "big"})
	}
}

var open = http2.Setting{ID: http2.SettingInitialWindowSize, Val: math.MaxInt32}

// A client that does not read its socket, and keeps asking for responses, is disconnected.
func TestConnectionThatIsNotRead(t *testing.T) {
	t.Parallel()
	b := setupWithoutTimeouts(t, func(c *server.Config) { c.Timeouts().Stall = time.Second })
	b.writeLargeState(t)
	stop := b.witness(t)
	raw := b.dialRaw(t, open)
	raw.fillSocket()
	var err error
	for sent := 0; err == nil; sent += 9 {
		if err = raw.WriteSettings(); sent > 64<<20 {
			t.Fatal("the server took 64 MiB of settings that it could not acknowledge")
		}
	}
	if !isReset(err) && !strings.Contains(err.Error(), "broken pipe") {
		t.Error(err)
	}
	stop()
}
