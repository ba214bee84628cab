package redistest

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// Permissions are the ACL rules that the service needs for its keys and channels; docs/operations.md lists
// the same.
var Permissions = strings.Fields(`-@all
	+ping +select +time +wait +multi +exec +eval +evalsha +publish +scan +info
	+client|tracking +memory|usage
	+exists +del +copy +rename +pexpire +pttl +get +set
	+hset +hsetnx +hget +hmget +hgetall +hdel +hexists +hincrby +hkeys +hlen +hscan +hstrlen
	+sadd +srem +scard +smembers +sismember
	+zadd +zrem +zscore +zmscore +zcard +zscan +zrange +zrangebyscore +zrangebylex +zlexcount +zremrangebyscore
	+xadd +xack +xdel +xlen +xrange +xrevrange +xread +xreadgroup +xtrim +xclaim +xpending
	+xinfo|groups +xinfo|consumers +xgroup|create +xgroup|destroy +xgroup|createconsumer
	+xgroup|delconsumer`)

// The user with which the service connects to the shared server. It has no other rights than Permissions, so
// that every test notices a missing rule.
const username, password = "argus", "secret"

var shared = sync.OnceValues(func() (*Server, error) {
	tests := fmt.Sprintf("t%d-*", os.Getpid())
	user := []string{username, "on", ">" + password, "~" + tests, "~{" + tests, "&" + tests, "&{" + tests}
	return start(append([]string{"--user"}, append(user, Permissions...)...)...)
})

// Shared returns the redis-server that all tests of a package share, used by a user that has Permissions
// only. The package needs Main.
func Shared(t testing.TB) Engine {
	t.Helper()
	server, err := shared()
	need(t, err)
	e := server.Engine()
	e.Username, e.Password = username, password
	return e
}

// Sharded returns the shared redis-server with the given number of shards. The package needs Main.
func Sharded(t testing.TB, shards int) Engine {
	t.Helper()
	e := Shared(t)
	e.Base, e.Shards = e.Prefix, shards
	e.Prefix = e.Shard(0)
	return e
}

// Main runs the tests of a package and stops the shared server:
//
//	func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }
func Main(m *testing.M) int {
	code := m.Run()
	if started.Load() {
		if server, err := shared(); err == nil {
			server.Stop()
		}
	}
	return code
}
