package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// topology is a Redis deployment of one or more processes.
type topology interface {
	// flags are the server's flags to connect to it.
	flags() []string
	// prefix is a tenant's key prefix; with shards, the part that they have in common.
	prefix(tenant string) string
	// shards is the number of shards, each with a prefix of its own; 0 without sharding.
	shards() int
	// store is a client of the master of a prefix, which bypasses any proxy.
	store(prefix string) (*goredis.Client, error)
	// servers are the Redis nodes.
	servers() []*node
	// masters is the number of nodes that a server sends commands to.
	masters() int
	// failovers is the observer of failovers; nil if the deployment has none.
	failovers() *observer
	end()
}

var errEnded = errors.New("the process has ended")

// node is a redis-server process.
type node struct {
	*process
	addr   string
	bus    string // port of the Cluster bus
	log    string // path of the log file
	client *goredis.Client
	proxy  *proxy // in front of the node; nil for none
}

// newNode starts a redis-server in a directory of its own. If another process takes the port
// first, it tries again with another port.
func newNode(dir string, args ...string) (n *node, err error) {
	for range 3 {
		if n, err = tryNode(dir, args); err == nil || n.process == nil || !n.hasEnded() {
			return n, err
		}
		_ = n.client.Close()
	}
	return n, err
}

// tryNode is one attempt of newNode.
func tryNode(dir string, args []string) (*node, error) {
	addr := freeAddr()
	n := &node{addr: addr, bus: portOf(freeAddr()), client: rawClient(addr)}
	own := filepath.Join(dir, "redis-"+portOf(addr))
	if err := os.Mkdir(own, 0o700); err != nil {
		return n, err
	}
	n.log = filepath.Join(own, "redis.log")
	n.process = &process{path: "redis-server", args: append([]string{"--port", portOf(addr), "--cluster-port", n.bus, "--bind", "127.0.0.1",
		"--dir", own, "--logfile", n.log, "--save", "", "--loglevel", "warning", "--appendonly", "yes"}, args...)}
	if err := n.start(); err != nil {
		return n, err
	}
	return n, n.awaitReady()
}

// withProxy puts a proxy in front of the node.
func (n *node) withProxy(addr string) (err error) {
	n.proxy, err = newProxy(addr, n.addr)
	return err
}

// awaitReady waits until the node replies to commands.
func (n *node) awaitReady() error {
	isReady := false
	err := until(60*time.Second, func() bool { isReady = n.client.Ping(ctx).Err() == nil; return isReady || n.hasEnded() })
	if !isReady {
		output, _ := os.ReadFile(n.log)
		return fmt.Errorf("redis-server at %s does not reply (ended: %t): %w\n%s", n.addr, n.hasEnded(), cmp.Or(err, errEnded), output)
	}
	return nil
}

func (n *node) end() {
	n.process.end()
	_ = n.client.Close()
	if n.proxy != nil {
		n.proxy.close()
	}
}

// rawClient is a client that fails at once while a node is down.
func rawClient(addr string) *goredis.Client {
	return goredis.NewClient(&goredis.Options{Addr: addr, Protocol: 2, DisableIdentity: true, DialTimeout: time.Second,
		ReadTimeout: 10 * time.Second, DialerRetries: 1, MaxRetries: -1, ContextTimeoutEnabled: true})
}

// info is a field of INFO; "" if the node does not reply.
func (n *node) info(section, field string) string {
	callCtx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	all, err := n.client.InfoMap(callCtx, section).Result()
	if err != nil {
		return ""
	}
	for _, fields := range all {
		if value, ok := fields[field]; ok {
			return value
		}
	}
	return ""
}

// connections adds the node's connections to count, by the last command of each.
func (n *node) connections(count map[string]int) {
	list, _ := n.client.ClientList(ctx).Result() // "" if the node is down
	for line := range strings.Lines(list) {
		for field := range strings.FieldsSeq(line) {
			if command, ok := strings.CutPrefix(field, "cmd="); ok {
				count[command]++
			}
		}
	}
}

// standalone is one Redis behind a proxy.
type standalone struct{ *node }

func newStandalone(dir, fsync string, args ...string) (*standalone, error) {
	n, err := newNode(dir, append([]string{"--appendfsync", fsync}, args...)...)
	if err != nil {
		return nil, err
	}
	return &standalone{n}, n.withProxy(freeAddr())
}

func (a *standalone) flags() []string                       { return []string{"--redis-addr", a.proxy.addr} }
func (a *standalone) servers() []*node                      { return []*node{a.node} }
func (a *standalone) masters() int                          { return 1 }
func (a *standalone) shards() int                           { return 0 }
func (a *standalone) prefix(tenant string) string           { return tenant + ":" }
func (a *standalone) store(string) (*goredis.Client, error) { return a.client, nil }
func (a *standalone) failovers() *observer                  { return nil }
