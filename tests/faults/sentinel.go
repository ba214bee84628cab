package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// sentinels is a master with two replicas, and three sentinels. Each server has a proxy,
// whose address is the one that all others know it by: so a master can be parted from its
// replicas and the sentinels while clients still reach it.
type sentinels struct {
	nodes    []*node
	watchers []*process
	addrs    []string
	asked    *goredis.SentinelClient
	observer *observer
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
		if err := s.watch(dir); err != nil {
			return s, err
		}
	}
	s.asked = goredis.NewSentinelClient(&goredis.Options{Addr: s.addrs[0], Protocol: 2, DisableIdentity: true})
	s.observer = observe(s.nodes, s.addrs)
	return s, s.whole()
}

// watch starts a sentinel.
func (s *sentinels) watch(dir string) error {
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
	s.watchers, s.addrs = append(s.watchers, p), append(s.addrs, addr)
	return p.start()
}

func (s *sentinels) flags() []string {
	return []string{"--redis-sentinel-master", masterName, "--redis-addr", strings.Join(s.addrs, ",")}
}

func (s *sentinels) masters() int { return 1 }

func (s *sentinels) shards() int { return 0 }

func (s *sentinels) prefix(tenant string) string { return tenant + ":" }

// master is the node that the sentinels call master.
func (s *sentinels) master() (*node, error) {
	addr, err := s.asked.GetMasterAddrByName(ctx, masterName).Result()
	if err != nil {
		return nil, err
	}
	for _, n := range s.nodes {
		if len(addr) == 2 && portOf(n.proxy.addr) == addr[1] {
			return n, nil
		}
	}
	return nil, fmt.Errorf("the sentinels' master %v is none of ours", addr)
}

func (s *sentinels) store(string) (*goredis.Client, error) {
	n, err := s.master()
	if err != nil {
		return nil, err
	}
	return n.client, nil
}

// whole waits until there is a master with two replicas that keep up, and the sentinels
// know all of them and each other.
func (s *sentinels) whole() error {
	err := until(90*time.Second, func() bool {
		m, err := s.master()
		if err != nil || m.info("replication", "role") != "master" {
			return false
		}
		for _, n := range s.nodes {
			if n != m && !n.follows(m) {
				return false
			}
		}
		known, err := s.asked.Master(ctx, masterName).Result()
		return err == nil && known["flags"] == "master" && known["num-slaves"] == "2" && known["num-other-sentinels"] == "2"
	})
	if err != nil {
		return errors.Join(errors.New("the master and its replicas did not come together"), err)
	}
	return nil
}

// follows is true of a replica of a master that keeps up.
func (n *node) follows(m *node) bool {
	return n.info("replication", "master_link_status") == "up" && n.info("replication", "master_port") == portOf(m.proxy.addr)
}

// failedOver waits until the sentinels made another node the master, and it has the third
// one as its replica.
func (s *sentinels) failedOver(old *node) error {
	err := until(60*time.Second, func() bool {
		m, err := s.master()
		if err != nil || m == old || m.info("replication", "role") != "master" {
			return false
		}
		for _, n := range s.nodes {
			if n != m && n != old && !n.follows(m) {
				return false
			}
		}
		known, err := s.asked.Master(ctx, masterName).Result()
		return err == nil && known["port"] == portOf(m.proxy.addr)
	})
	if err != nil {
		return fmt.Errorf("no failover: %w", err)
	}
	return nil
}

func (s *sentinels) servers() []*node { return s.nodes }

func (s *sentinels) observed() *observer { return s.observer }

func (s *sentinels) end() {
	if s.observer != nil {
		s.observer.end()
	}
	if s.asked != nil {
		_ = s.asked.Close()
	}
	for _, p := range s.watchers {
		p.end()
	}
	for _, n := range s.nodes {
		n.end()
	}
}
