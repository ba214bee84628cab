// Package rig is what the benchmarks stand on: a redis-server and an argus server as
// processes of their own, connections to them, and what they use.
package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/hikmaai-io/argus-queue/server/codec"
)

// Rig is a Redis and a server.
type Rig struct {
	RedisAddr string
	Addr      string
	Raw       *goredis.Client

	httpAddr string
	dir      string
	redis    *exec.Cmd
	server   *exec.Cmd
	isGuest  bool // the Redis is another's
	mu       sync.Mutex
	conns    map[int]*grpc.ClientConn
}

// Options say how a Rig is started.
type Options struct {
	IsSwept bool   // Redis does not track keys for the server
	Config  string // the server's settings, YAML
}

// Start builds argus and starts both.
func Start(ctx context.Context, o Options) (r *Rig, err error) {
	r = &Rig{conns: make(map[int]*grpc.ClientConn)}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if r.dir, err = os.MkdirTemp("", "argus-bench-"); err != nil {
		return r, err
	}
	binary := filepath.Join(r.dir, "argus")
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/hikmaai-io/argus-queue").Output()
	if err != nil {
		return r, err
	}
	build := exec.Command("go", "build", "-o", binary, "./cmd/argus")
	build.Dir = strings.TrimSpace(string(module))
	if out, err := build.CombinedOutput(); err != nil {
		return r, fmt.Errorf("%w: %s", err, out)
	}
	if r.RedisAddr, err = freeAddr(); err != nil {
		return r, err
	}
	_, port, _ := net.SplitHostPort(r.RedisAddr)
	r.redis = exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", r.dir, "--maxclients", "100000")
	r.redis.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err = r.redis.Start(); err != nil {
		return r, err
	}
	r.Raw = goredis.NewClient(&goredis.Options{Addr: r.RedisAddr, Protocol: 2, DisableIdentity: true})
	if err = until(ctx, func() bool { return r.Raw.Ping(ctx).Err() == nil }); err != nil {
		return r, err
	}
	if o.IsSwept {
		if err = r.Raw.Do(ctx, "ACL", "SETUSER", "default", "-client|tracking").Err(); err != nil {
			return r, err
		}
	}
	if r.Addr, err = freeAddr(); err != nil {
		return r, err
	}
	if r.httpAddr, err = freeAddr(); err != nil {
		return r, err
	}
	config := filepath.Join(r.dir, "argus.yaml")
	if err = os.WriteFile(config, []byte(o.Config), 0o600); err != nil {
		return r, err
	}
	r.server = exec.Command(binary, "serve", "--config", config, "--redis-addr", r.RedisAddr, "--grpc-addr", r.Addr, "--log-level", "error", "--http-addr", r.httpAddr)
	r.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err = r.server.Start(); err != nil {
		return r, err
	}
	return r, until(ctx, r.isUp)
}

// Beside starts another server on the same Redis.
func (r *Rig) Beside(ctx context.Context, server func(addr string) *exec.Cmd) (*Rig, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	other := &Rig{RedisAddr: r.RedisAddr, Addr: addr, Raw: r.Raw, redis: r.redis, isGuest: true, server: server(addr), conns: make(map[int]*grpc.ClientConn)}
	if err := other.server.Start(); err != nil {
		return nil, err
	}
	return other, until(ctx, other.isUp)
}

// isUp is true when the server takes connections.
func (r *Rig) isUp() bool {
	c, err := net.Dial("tcp", r.Addr)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

func until(ctx context.Context, done func() bool) error {
	for range 500 {
		if done() {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.New("it did not start")
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Close stops both.
func (r *Rig) Close() {
	for _, conn := range r.conns {
		_ = conn.Close()
	}
	own := []*exec.Cmd{r.server, r.redis}
	if r.isGuest {
		own = own[:1]
	}
	for _, p := range own {
		if p != nil && p.Process != nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
	}
	if r.dir != "" {
		_ = os.RemoveAll(r.dir)
	}
}

// Conn is the nth connection to the server.
func (r *Rig) Conn(n int) *grpc.ClientConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns[n] == nil {
		conn, err := grpc.NewClient(r.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec.New())), grpc.WithStaticStreamWindowSize(256<<10), grpc.WithStaticConnWindowSize(1<<20))
		if err != nil {
			panic(err) // the address is a good one
		}
		r.conns[n] = conn
	}
	return r.conns[n]
}

func (r *Rig) info(section, field string) int64 {
	text := r.Raw.Info(context.Background(), section).Val()
	m := regexp.MustCompile(`(?m)^` + field + `:(\d+)`).FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	return n
}

// Clients is how many connections Redis has.
func (r *Rig) Clients() int64 { return r.info("clients", "connected_clients") }

// RedisMemory is what Redis uses, in bytes.
func (r *Rig) RedisMemory() int64 { return r.info("memory", "used_memory") }

// ServerRSS is the server's resident memory, in bytes.
func (r *Rig) ServerRSS() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", r.server.Process.Pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// ProcessCPU is the processor time that a process has used.
func ProcessCPU(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / 100
}

// CPU is the processor time that Redis and the server have used.
func (r *Rig) CPU() (redis, server time.Duration) {
	return ProcessCPU(r.redis.Process.Pid), ProcessCPU(r.server.Process.Pid)
}

// Profile writes a CPU profile of the server over some seconds to a file.
func (r *Rig) Profile(path string, seconds int) error {
	page, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", r.httpAddr, seconds))
	if err != nil {
		return err
	}
	defer page.Body.Close()
	text, err := io.ReadAll(page.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// Mallocs is how often the server has allocated memory.
func (r *Rig) Mallocs() float64 {
	page, err := http.Get("http://" + r.httpAddr + "/metrics")
	if err != nil {
		return 0
	}
	defer page.Body.Close()
	text, _ := io.ReadAll(page.Body)
	_, rest, _ := strings.Cut(string(text), "\ngo_memstats_mallocs_total ")
	line, _, _ := strings.Cut(rest, "\n")
	n, _ := strconv.ParseFloat(line, 64)
	return n
}

// Idle measures for a while, and gives Redis's commands per second, and the share of a core
// that Redis and the server use, in percent.
func (r *Rig) Idle(d time.Duration) []string {
	commands := r.info("stats", "total_commands_processed")
	redis, server := r.CPU()
	time.Sleep(d)
	redis2, server2 := r.CPU()
	commands = r.info("stats", "total_commands_processed") - commands
	percent := func(used time.Duration) string { return fmt.Sprintf("%.1f", 100*float64(used)/float64(d)) }
	return []string{fmt.Sprintf("%.0f", float64(commands)/d.Seconds()), percent(redis2 - redis), percent(server2 - server)}
}

// Latencies collects times.
type Latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

// Add adds one.
func (l *Latencies) Add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, d)
}

// Row is the median, the 99th percentile and the maximum, in milliseconds.
func (l *Latencies) Row() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.all)
	at := func(q float64) string {
		if len(l.all) == 0 {
			return "-"
		}
		return fmt.Sprintf("%.2f", float64(l.all[int(q*float64(len(l.all)-1))])/1e6)
	}
	return []string{at(0.5), at(0.99), at(1)}
}

// Quantile is the time below which a share q of them lies; 0 when there are none.
func (l *Latencies) Quantile(q float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return 0
	}
	slices.Sort(l.all)
	return l.all[int(q*float64(len(l.all)-1))]
}

// Merge adds what another has collected.
func (l *Latencies) Merge(other *Latencies) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, other.all...)
}

// Numbers reads a list such as "10,20".
func Numbers(list string) []int {
	var all []int
	for part := range strings.SplitSeq(list, ",") {
		if n, err := strconv.Atoi(strings.TrimSpace(part)); err == nil {
			all = append(all, n)
		}
	}
	return all
}

// Seconds writes a duration.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// Median is the middle one of some numbers.
func Median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

// Table collects rows.
type Table struct {
	Quiet bool // a row is not shown before Print
	rows  [][]string
}

// NewTable makes a table.
func NewTable(head ...string) *Table { return &Table{rows: [][]string{head}} }

// Row adds a row, and shows progress.
func (t *Table) Row(cells ...string) {
	t.rows = append(t.rows, cells)
	if !t.Quiet {
		fmt.Fprintln(os.Stderr, strings.Join(cells, "  "))
	}
}

// Print prints the table. Rows of one name, from several rounds, become one: the median of
// each column, with the least and the most.
func (t *Table) Print(to io.Writer) {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	var names []string
	rounds := make(map[string][][]string)
	for _, row := range t.rows {
		if rounds[row[0]] == nil {
			names = append(names, row[0])
		}
		rounds[row[0]] = append(rounds[row[0]], row)
	}
	for _, name := range names {
		row := slices.Clone(rounds[name][0])
		for column := range row {
			row[column] = spread(rounds[name], column)
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush()
}

// spread is a column of several rounds.
func spread(rounds [][]string, column int) string {
	cells := make(map[float64]string)
	var numbers []float64
	for _, row := range rounds {
		first, _, _ := strings.Cut(row[column], " ") // without a unit
		n, err := strconv.ParseFloat(first, 64)
		if err != nil {
			return rounds[0][column]
		}
		numbers, cells[n] = append(numbers, n), row[column]
	}
	middle, least, most := cells[Median(numbers)], cells[slices.Min(numbers)], cells[slices.Max(numbers)]
	if least == most {
		return middle
	}
	return fmt.Sprintf("%s (%s–%s)", middle, strings.TrimSuffix(least, " s"), most)
}
