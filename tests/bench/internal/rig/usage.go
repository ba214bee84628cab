package rig

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// info is a number from Redis's INFO; 0 if the field is missing.
func (r *Rig) info(section, field string) int64 {
	text := r.Raw.Info(context.Background(), section).Val()
	m := regexp.MustCompile(`(?m)^` + field + `:(\d+)`).FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	return n
}

// Clients is the number of connections to Redis.
func (r *Rig) Clients() int64 { return r.info("clients", "connected_clients") }

// RedisMemory is the memory that Redis uses, in bytes.
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

// CPU is the processor time that Redis and the server have used.
func (r *Rig) CPU() (redis, server time.Duration) {
	return ProcessCPU(r.redis.Process.Pid), ProcessCPU(r.server.Process.Pid)
}

// Profile records a CPU profile of the server and writes it to a file. It blocks for the
// given number of seconds.
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

// Mallocs is the number of heap objects that the server has allocated.
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

// Idle measures for a duration and returns the cells of a row: Redis's commands per second,
// and the share of a core that Redis and the server use, in percent.
func (r *Rig) Idle(d time.Duration) []string {
	commands := r.info("stats", "total_commands_processed")
	redis, server := r.CPU()
	time.Sleep(d)
	redis2, server2 := r.CPU()
	commands = r.info("stats", "total_commands_processed") - commands
	percent := func(used time.Duration) string { return fmt.Sprintf("%.1f", 100*float64(used)/float64(d)) }
	return []string{fmt.Sprintf("%.0f", float64(commands)/d.Seconds()), percent(redis2 - redis), percent(server2 - server)}
}
