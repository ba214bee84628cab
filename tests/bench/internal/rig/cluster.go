package rig

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Cluster is a Redis Cluster of masters without replicas.
type Cluster struct {
	Addrs []string

	dir     string
	masters []*exec.Cmd
}

// StartCluster starts a cluster whose slots are divided evenly between the masters.
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
	for i := range masters {
		if clients[i], err = c.startMaster(ctx); err != nil {
			return c, err
		}
		defer clients[i].Close()
		if err := clients[i].ClusterAddSlotsRange(ctx, i*slots/masters, (i+1)*slots/masters-1).Err(); err != nil {
			return c, err
		}
		host, port, _ := net.SplitHostPort(c.Addrs[0])
		if i > 0 {
			if err := clients[i].ClusterMeet(ctx, host, port).Err(); err != nil {
				return c, err
			}
		}
	}
	for _, client := range clients {
		err := until(ctx, func() bool {
			info := client.ClusterInfo(ctx).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprint("cluster_slots_ok:", slots))
		})
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

const slots = 16384 // of every Redis Cluster

// startMaster starts a node and returns a client of it, which the caller closes.
func (c *Cluster) startMaster(ctx context.Context) (*goredis.Client, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	dir := filepath.Join(c.dir, port)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	p := command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir, "--cluster-enabled", "yes")
	if err := p.Start(); err != nil {
		return nil, err
	}
	c.Addrs, c.masters = append(c.Addrs, addr), append(c.masters, p)
	client := goredis.NewClient(&goredis.Options{Addr: addr, Protocol: 2, DisableIdentity: true})
	return client, until(ctx, func() bool { return client.Ping(ctx).Err() == nil })
}

// Size is the number of masters.
func (c *Cluster) Size() int { return len(c.masters) }

// CPU is the processor time that each master has used, in the order of Addrs.
func (c *Cluster) CPU() []time.Duration {
	all := make([]time.Duration, len(c.masters))
	for i, p := range c.masters {
		all[i] = ProcessCPU(p.Process.Pid)
	}
	return all
}

// Close stops the masters and removes their files.
func (c *Cluster) Close() {
	for _, p := range c.masters {
		stop(p)
	}
	_ = os.RemoveAll(c.dir)
}
