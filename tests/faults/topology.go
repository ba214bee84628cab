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

// topology is a Redis of one or more processes.
type topology interface {
	// flags tell a server where Redis is.
	flags() []string
	// prefix is a tenant's; with shards it is what they have in common.
	prefix(tenant string) string
	// shards is how many prefixes a tenant's jobs are spread over, 0 for the one as it is.
	shards() int
	// store is the master that has the keys of a prefix, past any proxy.
	store(prefix string) (*goredis.Client, error)
	// servers are its nodes.
	servers() []*node
	// masters is how many nodes a server has connections for commands to.
	masters() int
	// observed sees what failovers may lose; nil where there are none.
	observed() *observer
	end()
}

var errEnded = errors.New("it has ended")

// node is a redis-server.
type node struct {
	*process
	addr   string
	bus    string // the port of a Cluster's nodes
	log    string // the file
	client *goredis.Client
	proxy  *proxy // nil when there is none in front of it
}

// newNode starts a redis-server with a folder of its own. Something else may take its port
// before it does: then it gets another.
func newNode(dir string, args ...string) (n *node, err error) {
	for range 3 {
		if n, err = tryNode(dir, args); err == nil || n.process == nil || !n.hasEnded() {
			return n, err
		}
		_ = n.client.Close()
	}
	return n, err
}

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
	return n, n.up()
}

// withProxy puts a proxy in front of the node.
func (n *node) withProxy(addr string) (err error) {
	n.proxy, err = newProxy(addr, n.addr)
	return err
}

// up waits until the node answers.
func (n *node) up() error {
	isUp := false
	err := until(60*time.Second, func() bool { isUp = n.client.Ping(ctx).Err() == nil; return isUp || n.hasEnded() })
	if !isUp {
		said, _ := os.ReadFile(n.log)
		return fmt.Errorf("redis-server at %s is not there (ended: %t): %w\n%s", n.addr, n.hasEnded(), cmp.Or(err, errEnded), said)
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

func rawClient(addr string) *goredis.Client {
	return goredis.NewClient(&goredis.Options{Addr: addr, Protocol: 2, DisableIdentity: true, DialTimeout: time.Second,
		ReadTimeout: 10 * time.Second, DialerRetries: 1, MaxRetries: -1, ContextTimeoutEnabled: true})
}

// info is a field of INFO; "" when the node does not tell.
func (n *node) info(section, field string) string {
	soon, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	all, err := n.client.InfoMap(soon, section).Result()
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

// connections counts the node's clients by the command that each called last.
func (n *node) connections(count map[string]int) {
	list, _ := n.client.ClientList(ctx).Result() // "" of a node that is not there
	for line := range strings.Lines(list) {
		for field := range strings.FieldsSeq(line) {
			if command, ok := strings.CutPrefix(field, "cmd="); ok {
				count[command]++
			}
		}
	}
}

// alone is one Redis behind a proxy.
type alone struct{ *node }

func newAlone(dir, fsync string, args ...string) (*alone, error) {
	n, err := newNode(dir, append([]string{"--appendfsync", fsync}, args...)...)
	if err != nil {
		return nil, err
	}
	return &alone{n}, n.withProxy(freeAddr())
}

func (a *alone) flags() []string                       { return []string{"--redis-addr", a.proxy.addr} }
func (a *alone) servers() []*node                      { return []*node{a.node} }
func (a *alone) masters() int                          { return 1 }
func (a *alone) shards() int                           { return 0 }
func (a *alone) prefix(tenant string) string           { return tenant + ":" }
func (a *alone) store(string) (*goredis.Client, error) { return a.client, nil }
func (a *alone) observed() *observer                   { return nil }
