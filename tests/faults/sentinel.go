package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// sentinels is a master with two replicas, and three sentinels. Each Redis node announces the
// address of a proxy in front of it, so that a master can be cut off from its replicas and the
// sentinels while clients still reach it.
type sentinels struct {
	nodes     []*node
	processes []*process
	addrs     []string
	client    *goredis.SentinelClient
	observer  *observer
}

const masterName = "the-master"

func newSentinels(dir string, args ...string) (*sentinels, error) {
	s := &sentinels{}
	for i := range 3 {
		proxyAddr := freeAddr()
		more := append([]string{"--replica-announce-ip", "127.0.0.1", "--replica-announce-port", portOf(proxyAddr),
			"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1", "--repl-timeout", "5"}, args...)
		if i > 0 {
			more = append(more, "--replicaof", "127.0.0.1 "+portOf(s.nodes[0].proxy.addr))
		}
		n, err := newNode(dir, more...)
		if err != nil {
			return s, err
		}
		s.nodes = append(s.nodes, n)
		if err := n.withProxy(proxyAddr); err != nil {
			return s, err
		}
	}
	for range 3 {
		if err := s.startSentinel(dir); err != nil {
			return s, err
		}
	}
	s.client = goredis.NewSentinelClient(&goredis.Options{Addr: s.addrs[0], Protocol: 2, DisableIdentity: true})
	s.observer = observe(s.nodes, s.addrs)
	return s, s.awaitHealthy()
}

// startSentinel starts a sentinel.
func (s *sentinels) startSentinel(dir string) error {
	addr := freeAddr()
	own := filepath.Join(dir, "sentinel-"+portOf(addr))
	if err := os.Mkdir(own, 0o700); err != nil {
		return err
	}
	conf := filepath.Join(own, "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nloglevel notice\nlogfile sentinel.log\nsentinel monitor %s 127.0.0.1 %s 2\n", portOf(addr), own, masterName, portOf(s.nodes[0].proxy.addr))
	text += fmt.Sprintf("sentinel down-after-milliseconds %[1]s 1000\nsentinel failover-timeout %[1]s 3000\nsentinel parallel-syncs %[1]s 2\n", masterName)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return err
	}
	p := &process{path: "redis-server", args: []string{conf, "--sentinel"}}
	s.processes, s.addrs = append(s.processes, p), append(s.addrs, addr)
	return p.start()
}

func (s *sentinels) flags() []string {
	return []string{"--redis-sentinel-master", masterName, "--redis-addr", strings.Join(s.addrs, ",")}
}

func (s *sentinels) masters() int { return 1 }

func (s *sentinels) shards() int { return 0 }

func (s *sentinels) prefix(tenant string) string { return tenant + ":" }

// master is the node that the sentinels name as the master.
func (s *sentinels) master() (*node, error) {
	addr, err := s.client.GetMasterAddrByName(ctx, masterName).Result()
	if err != nil {
		return nil, err
	}
	for _, n := range s.nodes {
		if len(addr) == 2 && portOf(n.proxy.addr) == addr[1] {
			return n, nil
		}
	}
	return nil, fmt.Errorf("the sentinels name an unknown master: %v", addr)
}

func (s *sentinels) store(string) (*goredis.Client, error) {
	n, err := s.master()
	if err != nil {
		return nil, err
	}
	return n.client, nil
}

// awaitHealthy waits until a master has two connected replicas, and the sentinels know all of
// them and each other.
func (s *sentinels) awaitHealthy() error {
	err := until(90*time.Second, func() bool {
		m, err := s.master()
		if err != nil || m.info("replication", "role") != "master" {
			return false
		}
		for _, n := range s.nodes {
			if n != m && !n.replicates(m) {
				return false
			}
		}
		state, err := s.client.Master(ctx, masterName).Result()
		return err == nil && state["flags"] == "master" && state["num-slaves"] == "2" && state["num-other-sentinels"] == "2"
	})
	if err != nil {
		return fmt.Errorf("the master and its replicas are not healthy: %w", err)
	}
	return nil
}

// replicates reports whether the node is a connected replica of a master.
func (n *node) replicates(m *node) bool {
	return n.info("replication", "master_link_status") == "up" && n.info("replication", "master_port") == portOf(m.proxy.addr)
}

// awaitFailover waits until the sentinels have promoted another node than old, and the third
// node is its replica.
func (s *sentinels) awaitFailover(old *node) error {
	err := until(60*time.Second, func() bool {
		m, err := s.master()
		if err != nil || m == old || m.info("replication", "role") != "master" {
			return false
		}
		for _, n := range s.nodes {
			if n != m && n != old && !n.replicates(m) {
				return false
			}
		}
		state, err := s.client.Master(ctx, masterName).Result()
		return err == nil && state["port"] == portOf(m.proxy.addr)
	})
	if err != nil {
		return fmt.Errorf("no failover: %w", err)
	}
	return nil
}

func (s *sentinels) servers() []*node { return s.nodes }

func (s *sentinels) failovers() *observer { return s.observer }

func (s *sentinels) end() {
	if s.observer != nil {
		s.observer.stop()
	}
	if s.client != nil {
		_ = s.client.Close()
	}
	for _, p := range s.processes {
		p.end()
	}
	for _, n := range s.nodes {
		n.end()
	}
}
