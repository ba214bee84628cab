package rig

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Cluster is a Redis Cluster of masters without replicas.
type Cluster struct {
	Addrs []string

	dir     string
	masters []*exec.Cmd
}

// StartCluster starts a cluster; the masters have the slots in equal parts.
func StartCluster(ctx context.Context, masters int) (c *Cluster, err error) {
	c = &Cluster{}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if c.dir, err = os.MkdirTemp("", "argus-bench-"); err != nil {
		return c, err
	}
	clients := make([]*goredis.Client, masters)
	const slots = 16384
	for i := range masters {
		addr, err := freeAddr()
		if err != nil {
			return c, err
		}
		_, port, _ := net.SplitHostPort(addr)
		dir := filepath.Join(c.dir, port)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return c, err
		}
		p := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir, "--cluster-enabled", "yes")
		p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := p.Start(); err != nil {
			return c, err
		}
		c.Addrs, c.masters = append(c.Addrs, addr), append(c.masters, p)
		clients[i] = goredis.NewClient(&goredis.Options{Addr: addr, Protocol: 2, DisableIdentity: true})
		defer clients[i].Close()
		if err := until(ctx, func() bool { return clients[i].Ping(ctx).Err() == nil }); err != nil {
			return c, err
		}
		var own []int
		for slot := i * slots / masters; slot < (i+1)*slots/masters; slot++ {
			own = append(own, slot)
		}
		if err := clients[i].ClusterAddSlots(ctx, own...).Err(); err != nil {
			return c, err
		}
		host, first, _ := net.SplitHostPort(c.Addrs[0])
		if i > 0 {
			if err := clients[i].ClusterMeet(ctx, host, first).Err(); err != nil {
				return c, err
			}
		}
	}
	for _, client := range clients {
		err := until(ctx, func() bool {
			info := client.ClusterInfo(ctx).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_ok:16384")
		})
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

// Size is how many masters there are.
func (c *Cluster) Size() int { return len(c.masters) }

// CPU is the processor time that each master has used.
func (c *Cluster) CPU() []time.Duration {
	all := make([]time.Duration, len(c.masters))
	for i, p := range c.masters {
		all[i] = ProcessCPU(p.Process.Pid)
	}
	return all
}

// Close stops the cluster.
func (c *Cluster) Close() {
	for _, p := range c.masters {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
	_ = os.RemoveAll(c.dir)
}
