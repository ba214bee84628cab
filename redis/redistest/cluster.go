package redistest

import (
	"net"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// OwnCluster starts a Redis Cluster of masters without replicas for one test, which may kill them. The slots
// are divided equally, in the order of the masters.
func OwnCluster(t testing.TB, masters int) []*Server {
	t.Helper()
	servers := make([]*Server, masters)
	clients := make([]*goredis.Client, masters)
	ctx := Context(t)
	const slots = 16384
	for i := range servers {
		servers[i] = Own(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no")
		clients[i] = Engine{Addr: servers[i].Addr}.Raw(t)
		var own []int
		for slot := i * slots / masters; slot < (i+1)*slots/masters; slot++ {
			own = append(own, slot)
		}
		if err := clients[i].ClusterAddSlots(ctx, own...).Err(); err != nil {
			t.Fatal(err)
		}
		host, port, _ := net.SplitHostPort(servers[0].Addr)
		if err := clients[i].ClusterMeet(ctx, host, port).Err(); i > 0 && err != nil {
			t.Fatal(err)
		}
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, client := range clients {
		for {
			info := client.ClusterInfo(ctx).Val()
			if strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_ok:16384") {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatal("the cluster is not ready:\n" + info)
			}
		}
	}
	return servers
}
