package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// command is a process that dies with this one.
func command(path string, args ...string) *exec.Cmd {
	p := exec.Command(path, args...)
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return p
}

// stop kills a process, if it was started, and waits for its end.
func stop(p *exec.Cmd) {
	if p != nil && p.Process != nil {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
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

// until polls a condition for ten seconds.
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
	return errors.New("a process is not ready after 10 s")
}

// freeAddr is an address on loopback whose port was free a moment ago.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
