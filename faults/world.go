package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hikmaai-io/argus-queue/faults/history"
)

func durationOf(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

// leaseTime is the lease of the servers' queue: short, so that redelivery is seen.
const leaseTime = 2 * time.Second

const prefix = "argus:"

// process is a process that can be killed and started again as it was.
type process struct {
	path   string
	args   []string
	stderr io.Writer
	cmd    *exec.Cmd
}

func (p *process) start() error {
	p.cmd = exec.Command(p.path, p.args...)
	p.cmd.Stderr = p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return p.cmd.Start()
}

func (p *process) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
}

// stop asks the process to end, and waits for it.
func (p *process) stop() {
	p.signal(syscall.SIGTERM)
	late := time.AfterFunc(drainFor+5*time.Second, func() { p.signal(syscall.SIGKILL) })
	_ = p.cmd.Wait()
	late.Stop()
}

// world is what a scenario breaks: a Redis behind a proxy, servers, and those who use them.
type world struct {
	dir      string
	random   *rand.Rand
	redis    *process
	raw      *goredis.Client // past the proxy
	proxy    *proxy
	servers  []*server
	producer *process
	workers  []*process
	watcher  *process
}

type server struct {
	*process
	addr, httpAddr string
}

// The size of a world.
const (
	serverCount = 2
	workerCount = 3
	publishRate = 150
)

func newWorld(argus, fsync string, seed uint64) (w *world, err error) {
	w = &world{random: rand.New(rand.NewPCG(seed, 1))}
	defer func() {
		if err != nil {
			w.end()
		}
	}()
	if w.dir, err = os.MkdirTemp("", "argus-faults-"); err != nil {
		return w, err
	}
	redisAddr := freeAddr()
	_, port, _ := net.SplitHostPort(redisAddr)
	w.redis = &process{path: "redis-server", args: []string{"--port", port, "--bind", "127.0.0.1", "--dir", w.dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", fsync, "--loglevel", "warning"}}
	if err = w.redis.start(); err != nil {
		return w, err
	}
	w.raw = goredis.NewClient(&goredis.Options{Addr: redisAddr, Protocol: 2, DisableIdentity: true})
	if err = w.redisUp(); err != nil {
		return w, err
	}
	if w.proxy, err = newProxy(redisAddr); err != nil {
		return w, err
	}
	var addrs []string
	errs, err := os.Create(filepath.Join(w.dir, "servers.log"))
	if err != nil {
		return w, err
	}
	for range serverCount {
		s := &server{addr: freeAddr(), httpAddr: freeAddr()}
		s.process = &process{path: argus, stderr: errs, args: []string{"serve", "--redis-addr", w.proxy.addr, "--grpc-addr", s.addr, "--http-addr", s.httpAddr,
			"--redis-prefix", prefix, "--redis-read-timeout", "2s", "--lease", leaseTime.String(), "--max-attempts", "100", "--max-crashes", "100",
			"--retry-min", "100ms", "--retry-max", "1s", "--shutdown-timeout", "3s", "--log-level", "warn"}}
		if err = s.start(); err != nil {
			return w, err
		}
		w.servers, addrs = append(w.servers, s), append(addrs, s.addr)
	}
	for _, s := range w.servers {
		if err = until(10*time.Second, func() bool { return s.metric("go_goroutines") > 0 }); err != nil {
			return w, err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return w, err
	}
	history := filepath.Join(w.dir, "history")
	if err = os.Mkdir(history, 0o700); err != nil {
		return w, err
	}
	role := func(kind, name string, more ...string) (*process, error) {
		p := &process{path: self, stderr: os.Stderr, args: append([]string{kind, "-name", name, "-servers", strings.Join(addrs, ","), "-dir", history,
			"-canary", canary, "-seed", strconv.FormatUint(w.random.Uint64(), 10)}, more...)}
		return p, p.start()
	}
	if w.watcher, err = role("watcher", "watcher", "-producer", "job"); err != nil {
		return w, err
	}
	for i := range workerCount {
		worker, err := role("worker", fmt.Sprint("worker-", i))
		if err != nil {
			return w, err
		}
		w.workers = append(w.workers, worker)
	}
	w.producer, err = role("producer", "job", "-rate", strconv.Itoa(publishRate))
	return w, err
}

// canary is what this tenant's tasks carry.
const canary = "canary-of-the-tenant"

func (w *world) redisUp() error {
	return until(20*time.Second, func() bool { return w.raw.Ping(context.Background()).Err() == nil })
}

func until(limit time.Duration, done func() bool) error {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if done() {
			return nil
		}
	}
	return errors.New("it did not happen in time")
}

func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err) // this machine has no loopback
	}
	defer l.Close()
	return l.Addr().String()
}

// metric is a number that a server tells; 0 when it doesn't.
func (s *server) metric(name string) float64 {
	client := http.Client{Timeout: time.Second}
	page, err := client.Get("http://" + s.httpAddr + "/metrics")
	if err != nil {
		return 0
	}
	defer page.Body.Close()
	text, _ := io.ReadAll(page.Body)
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)`).FindSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseFloat(string(m[1]), 64)
	return n
}

// drain ends the load, and waits until everything is worked off.
func (w *world) drain() error {
	w.producer.stop()
	ctx := context.Background()
	err := until(90*time.Second, func() bool {
		length, err1 := w.raw.XLen(ctx, prefix+"argus_task_queue").Result()
		delayed, err2 := w.raw.ZCard(ctx, prefix+"argus_delayed:argus_task_queue").Result()
		return err1 == nil && err2 == nil && length+delayed == 0
	})
	time.Sleep(3 * time.Second) // for the watches
	for _, worker := range w.workers {
		worker.stop()
	}
	w.watcher.stop()
	return err
}

// stored reads what the store holds.
func (w *world) stored() (history.Stored, error) {
	ctx := context.Background()
	s := history.Stored{Events: make(map[string][]history.StoredEvent), Queued: make(map[string]bool)}
	keys := w.raw.Scan(ctx, 0, prefix+"argus_completion:*", 1000).Iterator()
	for keys.Next(ctx) {
		events, err := w.raw.XRange(ctx, keys.Val(), "-", "+").Result()
		if err != nil {
			return s, err
		}
		job := strings.TrimPrefix(keys.Val(), prefix+"argus_completion:")
		for _, e := range events {
			status, _ := e.Values["status"].(string)
			s.Events[job] = append(s.Events[job], history.StoredEvent{Cursor: e.ID, Status: status})
		}
	}
	for _, stream := range []string{"argus_task_queue", "argus_dead:argus_task_queue"} {
		entries, err := w.raw.XRange(ctx, prefix+stream, "-", "+").Result()
		if err != nil {
			return s, err
		}
		for _, e := range entries {
			job, _ := e.Values["job_id"].(string)
			s.Queued[job] = true
		}
	}
	return s, keys.Err()
}

// end stops everything and removes the folder.
func (w *world) end() {
	all := append([]*process{w.producer, w.watcher, w.redis}, w.workers...)
	for _, s := range w.servers {
		all = append(all, s.process)
	}
	for _, p := range all {
		if p != nil && p.cmd != nil && p.cmd.Process != nil && p.cmd.ProcessState == nil {
			p.signal(syscall.SIGCONT)
			p.kill()
		}
	}
	if w.proxy != nil {
		w.proxy.close()
	}
	_ = os.RemoveAll(w.dir)
}

// proxy stands between the servers and Redis, and breaks what passes through it.
type proxy struct {
	addr, target string
	listener     net.Listener
	mu           sync.Mutex
	conns        map[net.Conn]bool
	hole         atomic.Bool  // nothing passes
	cut          atomic.Bool  // what was asked is passed on, and the connection breaks before the answer
	latency      atomic.Int64 // ns, of what comes back
}

func newProxy(target string) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{addr: listener.Addr().String(), target: target, listener: listener, conns: make(map[net.Conn]bool)}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			store, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			p.mu.Lock()
			p.conns[client], p.conns[store] = true, true
			p.mu.Unlock()
			go p.pass(client, store, false)
			go p.pass(store, client, true)
		}
	}()
	return p, nil
}

func (p *proxy) pass(from, to net.Conn, isAnswer bool) {
	defer func() {
		p.mu.Lock()
		delete(p.conns, from)
		p.mu.Unlock()
		_, _ = from.Close(), to.Close()
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		for p.hole.Load() {
			time.Sleep(10 * time.Millisecond)
		}
		if isAnswer {
			time.Sleep(time.Duration(p.latency.Load()))
			if p.cut.Load() {
				return
			}
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// reset breaks all connections.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.hole.Store(false)
	p.reset()
}
