package main

import (
	"errors"
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

// process is a process that can be killed and started again as it was.
type process struct {
	path   string
	args   []string
	dir    string
	stderr io.Writer
	cmd    *exec.Cmd
	ended  chan struct{} // closed when it has
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

// stop asks the process to end, and waits for it.
func (p *process) stop() {
	p.signal(syscall.SIGTERM)
	late := time.AfterFunc(drainFor+5*time.Second, func() { p.signal(syscall.SIGKILL) })
	<-p.ended
	late.Stop()
}

// end kills the process if it runs, also when it is stopped.
func (p *process) end() {
	if p != nil && p.ended != nil && !p.hasEnded() {
		p.signal(syscall.SIGCONT)
		p.kill()
	}
}

// server is an argus serve.
type server struct {
	*process
	addr, httpAddr string
}

// metric is a number that a server tells; 0 when it doesn't.
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

func until(limit time.Duration, done func() bool) error {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if done() {
			return nil
		}
	}
	return errors.New("it did not happen in time")
}

// ports gives out ports. They must stay free while a process is dead: so they are below
// those that the kernel gives to connections, and each run of the suite has a block of its
// own, whose first port it listens on.
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

var given ports

func freeAddr() string {
	given.mu.Lock()
	defer given.mu.Unlock()
	for given.block == nil {
		given.first = lowestPort + rand.IntN((highestPort-lowestPort)/blockSize)*blockSize
		given.block, _ = net.Listen("tcp", fmt.Sprint("127.0.0.1:", given.first))
	}
	for {
		given.next = given.next%(blockSize-1) + 1
		addr := fmt.Sprint("127.0.0.1:", given.first+given.next)
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
