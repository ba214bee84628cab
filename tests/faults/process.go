package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// process is a child process that can be killed and restarted with the same arguments. It dies
// with this process.
type process struct {
	path   string
	args   []string
	dir    string
	stderr io.Writer
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process has ended
}

func (p *process) start() error {
	p.cmd = exec.Command(p.path, p.args...)
	p.cmd.Dir, p.cmd.Stderr = p.dir, p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	cmd, ended := p.cmd, make(chan struct{})
	p.ended = ended
	go func() { _ = cmd.Wait(); close(ended) }()
	return nil
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func (p *process) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// stop terminates the process, kills it if that takes too long, and waits for its end.
func (p *process) stop() {
	p.signal(syscall.SIGTERM)
	late := time.AfterFunc(drainTimeout+5*time.Second, func() { p.signal(syscall.SIGKILL) })
	<-p.ended
	late.Stop()
}

// end kills the process if it is running or paused.
func (p *process) end() {
	if p != nil && p.ended != nil && !p.hasEnded() {
		p.signal(syscall.SIGCONT)
		p.kill()
	}
}

// server is an argus serve process.
type server struct {
	*process
	addr, httpAddr string
}

// metric is a metric of the server; 0 if the server does not reply.
func (s *server) metric(name string) float64 {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
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

func (s *server) isUp() bool { return s.metric("go_goroutines") > 0 }

// until polls a condition, and returns an error if it is not met within the limit.
func until(limit time.Duration, done func() bool) error {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if done() {
			return nil
		}
	}
	return fmt.Errorf("timed out after %s", limit)
}

// ports allocates ports that stay free while a process is down. They are below the kernel's range
// of ephemeral ports, and each run of the suite reserves a block of ports by listening on the
// first one.
type ports struct {
	mu          sync.Mutex
	block       net.Listener
	first, next int
}

const (
	lowestPort  = 10000
	highestPort = 32000
	blockSize   = 1000
)

var portBlock ports

// freeAddr is an unused address on loopback.
func freeAddr() string {
	portBlock.mu.Lock()
	defer portBlock.mu.Unlock()
	for portBlock.block == nil {
		portBlock.first = lowestPort + rand.IntN((highestPort-lowestPort)/blockSize)*blockSize
		portBlock.block, _ = net.Listen("tcp", fmt.Sprint("127.0.0.1:", portBlock.first))
	}
	for {
		portBlock.next = portBlock.next%(blockSize-1) + 1
		addr := fmt.Sprint("127.0.0.1:", portBlock.first+portBlock.next)
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}
