package main

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// tenant is a key prefix with its servers and clients. Both tenants use the same job ids, so that
// a leak between them is found.
type tenant struct {
	name, canary string
	prefixes     []string // of its keys, one per shard
	dir          string   // holds its histories
	world        *world
	servers      []*server
	producer     *process
	workers      []*process
	watcher      *process
	role         *role // the calls of the suite itself
}

// load is the size of a tenant.
type load struct {
	servers, workers int
	rate             int // published tasks per second
	watches          int
}

// newTenant starts a tenant's servers, without clients.
func newTenant(w *world, name string, l load, flags []string) (*tenant, error) {
	prefix := w.topology.prefix(name)
	t := &tenant{name: name, prefixes: prefixes(prefix, w.topology.shards()), canary: "canary-of-" + name, dir: filepath.Join(w.dir, "history-"+name), world: w}
	if err := os.Mkdir(t.dir, 0o700); err != nil {
		return t, err
	}
	log, err := history.Open(t.dir, "suite")
	if err != nil {
		return t, err
	}
	t.role = &role{name: "suite", canary: t.canary, log: log, lease: profile.lease}
	errs, err := os.Create(filepath.Join(w.dir, "servers-"+name+".log"))
	if err != nil {
		return t, err
	}
	settings := filepath.Join(w.dir, name+".yaml")
	text := fmt.Sprintf("queues:\n  %s:\n    fair_by: organization_id\n    fair_max_in_flight: %d\n", fairQueue, fairLimit)
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		return t, err
	}
	for range l.servers {
		s := &server{addr: freeAddr(), httpAddr: freeAddr()}
		s.process = &process{path: w.argus, stderr: errs, args: append(append([]string{"serve", "--config", settings, "--grpc-addr", s.addr, "--http-addr", s.httpAddr,
			"--redis-prefix", prefix, "--redis-read-timeout", "2s", "--lease", profile.lease.String(), "--max-attempts", "100", "--max-crashes", "100",
			"--retry-min", "100ms", "--retry-max", "1s", "--shutdown-timeout", "3s", "--log-level", "warn"}, w.topology.flags()...), flags...)}
		if err := s.start(); err != nil {
			return t, err
		}
		t.servers = append(t.servers, s)
		t.role.conns = append(t.role.conns, connect(s.addr))
	}
	for _, s := range t.servers {
		if err := until(30*time.Second, s.isUp); err != nil {
			return t, fmt.Errorf("a server of %s is not ready: %w", name, err)
		}
	}
	return t, nil
}

// startLoad starts the clients.
func (t *tenant) startLoad(l load) (err error) {
	if t.watcher, err = t.start("watcher", "watcher", "-streams", strconv.Itoa(l.watches)); err != nil {
		return err
	}
	for i := range l.workers {
		worker, err := t.start("worker", fmt.Sprint("worker-", i))
		if err != nil {
			return err
		}
		t.workers = append(t.workers, worker)
	}
	t.producer, err = t.start("producer", "producer", "-rate", strconv.Itoa(l.rate))
	return err
}

// start starts a client of a kind.
func (t *tenant) start(kind, name string, more ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addrs := make([]string, len(t.servers))
	for i, s := range t.servers {
		addrs[i] = s.addr
	}
	p := &process{path: self, stderr: os.Stderr, args: append([]string{kind, "-name", name, "-servers", strings.Join(addrs, ","), "-dir", t.dir,
		"-canary", t.canary, "-lease", profile.lease.String(), "-seed", strconv.FormatUint(t.world.random.Uint64(), 10)}, more...)}
	return p, p.start()
}

// prefixes are the key prefixes of the shards; without sharding, the prefix itself.
func prefixes(prefix string, shards int) []string {
	if shards == 0 {
		return []string{prefix}
	}
	all := make([]string, shards)
	for i := range all {
		all[i] = fmt.Sprintf("{%s:%02d}:", strings.TrimSuffix(prefix, ":"), i)
	}
	return all
}

// key is a key of the first shard.
func (t *tenant) key(name string) string { return t.prefixes[0] + name }

// store is a client of that key's master.
func (t *tenant) store() (*goredis.Client, error) { return t.world.topology.store(t.prefixes[0]) }

// prefixOf is the prefix of a job's keys.
func (t *tenant) prefixOf(job string) string {
	return t.prefixes[crc32.ChecksumIEEE([]byte(job))%uint32(len(t.prefixes))]
}

// randomPrefix is the prefix of a random shard.
func (t *tenant) randomPrefix() string { return t.prefixes[t.world.random.IntN(len(t.prefixes))] }

// drain stops the producer, waits until the queues are empty and the watches have received all
// results, and stops the other clients.
func (t *tenant) drain() error {
	t.producer.stop()
	err := until(90*time.Second, t.isDrained)
	if err == nil {
		_ = until(30*time.Second, t.watchesAreDone) // the checker reports the watches that have not
	}
	for _, worker := range t.workers {
		worker.stop()
	}
	t.watcher.stop()
	return err
}

// end kills the tenant's processes.
func (t *tenant) end() {
	if t == nil {
		return
	}
	all := append([]*process{t.producer, t.watcher}, t.workers...)
	for _, s := range t.servers {
		all = append(all, s.process)
	}
	for _, p := range all {
		p.end()
	}
	if t.role != nil {
		for _, conn := range t.role.conns {
			_ = conn.Close()
		}
	}
}
