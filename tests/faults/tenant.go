package main

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// tenant is a prefix with servers and those who use them. Tenants have the same job ids, on
// purpose.
type tenant struct {
	name, canary string
	prefixes     []string // that its keys lie under
	dir          string   // of its histories
	world        *world
	servers      []*server
	producer     *process
	workers      []*process
	watcher      *process
	role         *role // what the suite itself does as a client
}

// load is what a tenant has.
type load struct {
	servers, workers, rate, watches int
}

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
	t.role = &role{name: "suite", canary: t.canary, log: log, lease: form.lease}
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
			"--redis-prefix", prefix, "--redis-read-timeout", "2s", "--lease", form.lease.String(), "--max-attempts", "100", "--max-crashes", "100",
			"--retry-min", "100ms", "--retry-max", "1s", "--shutdown-timeout", "3s", "--log-level", "warn"}, w.topology.flags()...), flags...)}
		if err := s.start(); err != nil {
			return t, err
		}
		t.servers = append(t.servers, s)
		t.role.conns = append(t.role.conns, connect(s.addr))
	}
	for _, s := range t.servers {
		if err := until(30*time.Second, s.isUp); err != nil {
			return t, fmt.Errorf("a server did not start: %w", err)
		}
	}
	return t, nil
}

// begin starts those who use the servers.
func (t *tenant) begin(l load) (err error) {
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

// start starts a role.
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
		"-canary", t.canary, "-lease", form.lease.String(), "-seed", strconv.FormatUint(t.world.random.Uint64(), 10)}, more...)}
	return p, p.start()
}

// prefixes are those that the keys lie under.
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

// key is a key under the only, or the first, of the prefixes.
func (t *tenant) key(name string) string { return t.prefixes[0] + name }

// store is the master that has it.
func (t *tenant) store() (*goredis.Client, error) { return t.world.topology.store(t.prefixes[0]) }

// prefixOf is what a job's keys lie under.
func (t *tenant) prefixOf(job string) string {
	return t.prefixes[crc32.ChecksumIEEE([]byte(job))%uint32(len(t.prefixes))]
}

// anyPrefix is one of the prefixes.
func (t *tenant) anyPrefix() string { return t.prefixes[t.world.random.IntN(len(t.prefixes))] }

// drain ends the load, and waits until everything is worked off and the watches have seen
// it.
func (t *tenant) drain() error {
	t.producer.stop()
	err := until(90*time.Second, t.isEmpty)
	if err == nil {
		_ = until(30*time.Second, t.isToldAll) // the checker says who was not
	}
	for _, worker := range t.workers {
		worker.stop()
	}
	t.watcher.stop()
	return err
}

// queues are those that the tenant's tasks are in.
var queues = []string{"argus_task_queue", fairQueue}

// isEmpty is true when the queues are.
func (t *tenant) isEmpty() bool {
	return !slices.ContainsFunc(t.prefixes, func(prefix string) bool {
		store, err := t.world.topology.store(prefix)
		if err != nil {
			return true
		}
		left, err := store.ZCard(ctx, prefix+"argus_fair:"+fairQueue).Result()
		for _, queue := range queues {
			length, err1 := store.XLen(ctx, prefix+queue).Result()
			delayed, err2 := store.ZCard(ctx, prefix+"argus_delayed:"+queue).Result()
			left, err = left+length+delayed, cmp.Or(err, err1, err2)
		}
		return err != nil || left > 0
	})
}

// counted waits until nothing counts as in flight any more in the fair queue, which is empty,
// and returns what still does.
func (t *tenant) counted() (left map[string]string, err error) {
	_ = until(30*time.Second, func() bool {
		left = make(map[string]string)
		for _, prefix := range t.prefixes {
			var store *goredis.Client
			if store, err = t.world.topology.store(prefix); err != nil {
				return false
			}
			var held map[string]string
			if held, err = store.HGetAll(ctx, prefix+"argus_fair_held:"+fairQueue).Result(); err != nil {
				return false
			}
			maps.Copy(left, held)
		}
		return len(left) == 0
	})
	return left, err
}

// isToldAll is true when no watch waits for a result that is there.
func (t *tenant) isToldAll() bool {
	events, err := history.Read(t.dir, "watcher")
	if err != nil {
		return false
	}
	for _, job := range history.Waiting(events) {
		store, err := t.world.topology.store(t.prefixOf(job))
		if err != nil {
			return false
		}
		last, err := store.XRevRangeN(ctx, t.prefixOf(job)+"argus_completion:"+job, "+", "-", 1).Result()
		if err != nil || len(last) > 0 && storedEvent(last[0]).Terminal() {
			return false
		}
	}
	return true
}

func storedEvent(e goredis.XMessage) history.StoredEvent {
	status, _ := e.Values["status"].(string)
	return history.StoredEvent{Cursor: e.ID, Status: status}
}

// stored reads what the store holds.
func (t *tenant) stored() (history.Stored, error) {
	s := history.Stored{Events: make(map[string][]history.StoredEvent), Queued: make(map[string]bool), FairLimit: fairLimit}
	for _, prefix := range t.prefixes {
		if err := t.storedUnder(prefix, s); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (t *tenant) storedUnder(prefix string, s history.Stored) error {
	store, err := t.world.topology.store(prefix)
	if err != nil {
		return err
	}
	keys := store.Scan(ctx, 0, prefix+"argus_completion:*", 1000).Iterator()
	for keys.Next(ctx) {
		events, err := store.XRange(ctx, keys.Val(), "-", "+").Result()
		if err != nil {
			return err
		}
		job := strings.TrimPrefix(keys.Val(), prefix+"argus_completion:")
		s.Events[job] = nil // a key that a scan gives twice
		isDone := false
		for _, e := range events {
			if event := storedEvent(e); !isDone || e.Values["junk"] == nil { // what a raw peer adds after the end is nobody's
				s.Events[job] = append(s.Events[job], event)
				isDone = isDone || event.Terminal()
			}
		}
	}
	for _, stream := range []string{queues[0], "argus_dead:" + queues[0], queues[1], "argus_dead:" + queues[1]} {
		entries, err := store.XRange(ctx, prefix+stream, "-", "+").Result()
		if err != nil {
			return err
		}
		for _, e := range entries {
			job, _ := e.Values["job_id"].(string)
			s.Queued[job] = true
		}
	}
	return keys.Err()
}

// check checks the tenant's histories, given what failed besides what they tell.
func (t *tenant) check(failures []history.Event) (history.Report, []history.Event, error) {
	events, err := history.Read(t.dir, "*")
	if err != nil {
		return history.Report{}, nil, err
	}
	stored, err := t.stored()
	if err != nil {
		return history.Report{}, nil, err
	}
	report := history.Check(append(events, failures...), stored, t.canary)
	left, err := t.counted()
	if len(left) > 0 {
		report.Violations = append(report.Violations, history.Violation{Invariant: "I9", What: fmt.Sprint("of an empty queue there still counts as in flight: ", left)})
	}
	return report, events, err
}

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
