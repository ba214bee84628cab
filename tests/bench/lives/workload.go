package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

const (
	lanes   = 4  // connections of a pipelining contender, each with a producer and a worker
	batch   = 64 // tasks in one pipeline or batch
	callers = 64 // goroutines that make unary calls
)

// taskFields are the fields of a task, the same for every contender.
func taskFields(job string) []string {
	return []string{"job_id", job, "report_id", "report-1", "organization_id", "acme", "gcs_uri", "gs://scans/acme/2026/11/" + job + ".tar.gz",
		"scanners", `["trivy","clamav"]`, "timeout_seconds", "600", "created_at", "1700000000"}
}

// The fields of a job's state and of its result.
var (
	firstState  = []string{"status", "pending", "organization_id", "acme"}
	resultPairs = []string{"findings", "12", "severity", "high", "report_uri", "gs://reports/acme/report-1.json"}
	lastState   = append([]string{"status", "completed", "completed_at", "1700000001"}, resultPairs...)
)

// eventFields are the fields of a completion event.
func eventFields(job string) []string {
	return append([]string{"job_id", job, "status", "completed", "completed_at", "1700000001"}, resultPairs...)
}

func jobName(lane, i int) string { return fmt.Sprintf("0190f5fe-7c00-7a00-%04d-%012d", lane, i) }

// payload is a task as one byte string.
func payload(job string) []byte {
	fields := taskFields(job)
	return []byte(`{"` + strings.Join(fields, `","`) + `"}`)
}

// timed measures how long work takes.
func timed(work func() error) (time.Duration, error) {
	start := time.Now()
	err := work()
	return time.Since(start), err
}

// inLanes divides n tasks between the lanes, which run concurrently.
func inLanes(n int, lane func(lane, n int) error) error {
	var all errgroup.Group
	for l := range lanes {
		all.Go(func() error { return lane(l, (n+l)/lanes) })
	}
	return all.Wait()
}

// byCallers makes n calls, divided between concurrent callers.
func byCallers(n int, call func(caller, i int) error) error {
	var all errgroup.Group
	for c := range callers {
		all.Go(func() error {
			for i := range (n + c) / callers {
				if err := call(c, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return all.Wait()
}

// countdown counts tasks down to zero.
type countdown struct {
	left atomic.Int64
	done chan struct{} // closed at zero
}

func newCountdown(n int) *countdown {
	c := &countdown{done: make(chan struct{})}
	c.left.Store(int64(n))
	return c
}

func (c *countdown) count() {
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
}

// wait blocks until the count is zero, unless err says that publishing failed.
func (c *countdown) wait(err error) error {
	if err == nil {
		<-c.done
	}
	return err
}

// oneByOne publishes n tasks, each a few milliseconds after the previous one was received, so
// that the queue is idle. A task carries the time of its publication.
func oneByOne(n int, publish func(at string) error, receive func() (string, error)) (*rig.Latencies, error) {
	delays, received, failed := new(rig.Latencies), make(chan struct{}), make(chan error, 1)
	go func() {
		for range n {
			at, err := receive()
			if err != nil {
				failed <- err
				return
			}
			ns, _ := strconv.ParseInt(at, 10, 64)
			delays.Add(time.Duration(time.Now().UnixNano() - ns))
			received <- struct{}{}
		}
	}()
	for range n {
		time.Sleep(3 * time.Millisecond)
		if err := publish(strconv.FormatInt(time.Now().UnixNano(), 10)); err != nil {
			return nil, err
		}
		select {
		case <-received:
		case err := <-failed:
			return nil, err
		case <-time.After(10 * time.Second):
			return nil, errors.New("a task was not delivered within 10 s")
		}
	}
	return delays, nil
}
