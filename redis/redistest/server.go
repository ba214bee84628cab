package redistest

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Require is the environment variable that makes a missing redis-server a failure, with the value "true".
const Require = "REDIS_INTEGRATION_TEST"

// started is true once a server was launched: Main then has one to stop.
var started atomic.Bool

// Own starts a redis-server for one test, which may kill it. The end of the test stops it.
func Own(t testing.TB, args ...string) *Server {
	t.Helper()
	server, err := start(args...)
	need(t, err)
	t.Cleanup(server.Stop)
	return server
}

// OwnSentinel starts a sentinel for one test with the given configuration file.
func OwnSentinel(t testing.TB, conf string) *Server {
	t.Helper()
	server, err := launch([]string{conf, "--sentinel"}, "Sentinel ID is")
	need(t, err)
	t.Cleanup(server.Stop)
	return server
}

// need skips the test without a redis-server, and fails it when the server does not start.
func need(t testing.TB, err error) {
	t.Helper()
	switch {
	case errors.Is(err, exec.ErrNotFound) && os.Getenv(Require) != "true":
		t.Skip("no redis-server is installed; " + Require + "=true makes this a failure")
	case err != nil:
		t.Fatalf("start redis-server: %v", err)
	}
}

// Server is a redis-server process with its own directory and loopback port. It persists nothing.
type Server struct {
	Addr string

	dir   string
	args  []string
	ready string // part of the line that it logs when it accepts connections
	mu    sync.Mutex
	cmd   *exec.Cmd
	done  chan struct{}
}

func start(args ...string) (*Server, error) {
	own := []string{"--save", "", "--appendonly", "no", "--loglevel", "notice"}
	return launch(append(own, args...), "Ready to accept connections")
}

// launch starts redis-server and waits until it logs a line that contains ready.
func launch(args []string, ready string) (*Server, error) {
	started.Store(true)
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "argus-redis-")
	if err != nil {
		return nil, err
	}
	// Another process may bind the port after freeAddr and before Redis.
	for range 5 {
		var addr string
		if addr, err = freeAddr(); err != nil {
			break
		}
		_, port, _ := net.SplitHostPort(addr)
		s := &Server{Addr: addr, dir: dir, ready: ready}
		s.args = append([]string{path}, args...)
		s.args = append(s.args, "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--daemonize", "no")
		if err = s.Start(); err == nil {
			return s, nil
		}
	}
	_ = os.RemoveAll(dir)
	return nil, err
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Start starts the server, on the same port as before, and returns when it accepts connections.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cmd := exec.Command(s.args[0], s.args[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.done = cmd, make(chan struct{})
	ready := make(chan bool, 1)
	go func() {
		defer close(s.done)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.Contains(lines.Text(), s.ready) {
				select {
				case ready <- true:
				default:
				}
			}
		}
		_ = cmd.Wait()
	}()
	select {
	case <-ready:
		return nil
	case <-s.done:
		return errors.New("redis-server exited")
	case <-time.After(Patience):
		_ = cmd.Process.Kill()
		return errors.New("redis-server did not accept connections in time")
	}
}

// Kill ends the process as a crash would, and waits until it has ended.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.cmd.Process.Kill()
	<-s.done
}

// Stop ends the process and removes its directory.
func (s *Server) Stop() {
	s.Kill()
	_ = os.RemoveAll(s.dir)
}

// Engine returns the server as an engine with a new prefix.
func (s *Server) Engine() Engine {
	return Engine{Name: "redis", Addr: s.Addr, Prefix: newPrefix()}
}
