package main

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// scenario is a fault, and the deployment it is injected into.
type scenario struct {
	name string
	// build starts Redis.
	build func(dir string) (topology, error)
	// needsStandalone marks a fault that requires the standalone deployment.
	needsStandalone bool
	// serve are additional flags of the servers.
	serve []string
	// begin, if not nil, prepares the world.
	begin func(w *world) error
	// inject causes the fault once, and removes it.
	inject func(w *world) error
	// finish, if not nil, completes or checks the scenario before the load stops.
	finish func(w *world) error
}

// pause sleeps for a random duration in a range.
func pause(w *world, least, most time.Duration) {
	time.Sleep(least + time.Duration(w.random.Int64N(int64(most-least))))
}

// everysec and always build a standalone Redis with an append-only file.
func everysec(dir string) (topology, error) { return newStandalone(dir, "everysec") }
func always(dir string) (topology, error)   { return newStandalone(dir, "always") }

// onStandalone adapts a fault of the standalone deployment.
func onStandalone(inject func(*world, *standalone) error) func(*world) error {
	return func(w *world) error { return inject(w, w.topology.(*standalone)) }
}

var scenarios = slices.Concat(processFaults, connectionFaults, redisFaults, lossFaults, clientFaults, sentinelFaults, clusterFaults)

var processFaults = []scenario{
	{name: "no fault", build: everysec, inject: func(*world) error { return nil }},
	{name: "a server is killed and restarted", build: everysec, inject: killServer},
	{name: "rolling restart", build: everysec, inject: rollingRestart},
	{name: "Redis is killed, appendfsync always", build: always, needsStandalone: true, inject: onStandalone(killRedis)},
	{name: "Redis is killed, appendfsync everysec", build: everysec, needsStandalone: true, inject: onStandalone(killLossyRedis)},
	{name: "a worker is killed", build: everysec, inject: killWorker},
	{name: "a worker is paused for longer than its leases", build: everysec, inject: pauseWorker},
}

func killServer(w *world) error {
	s := w.main.servers[w.random.IntN(len(w.main.servers))]
	s.kill()
	pause(w, 50*time.Millisecond, 500*time.Millisecond)
	return s.restart()
}

// restart starts a stopped server, and waits until it is ready.
func (s *server) restart() error {
	if err := s.start(); err != nil {
		return err
	}
	if err := until(60*time.Second, s.isUp); err != nil {
		return fmt.Errorf("a restarted server is not ready: %w", err)
	}
	return nil
}

func rollingRestart(w *world) error {
	for _, s := range w.main.servers {
		s.stop()
		if err := s.restart(); err != nil {
			return err
		}
	}
	return nil
}

func killRedis(w *world, a *standalone) error {
	a.kill()
	pause(w, 50*time.Millisecond, 500*time.Millisecond)
	if err := a.start(); err != nil {
		return err
	}
	return a.awaitReady()
}

// killLossyRedis is killRedis for appendfsync everysec: while a sync is slow, Redis postpones its
// writes to the file for up to two seconds, but acknowledges them.
func killLossyRedis(w *world, a *standalone) error {
	return w.withLoss(history.LostAll, time.Now().Add(-slack), func() error { return killRedis(w, a) })
}

// worker is a random worker of the main tenant.
func (w *world) worker() *process { return w.main.workers[w.random.IntN(len(w.main.workers))] }

func killWorker(w *world) error {
	worker := w.worker()
	worker.kill()
	return worker.start()
}

func pauseWorker(w *world) error {
	worker := w.worker()
	worker.signal(syscall.SIGSTOP)
	time.Sleep(profile.lease + profile.lease/2)
	worker.signal(syscall.SIGCONT)
	return nil
}

var connectionFaults = []scenario{
	{name: "connections to Redis break", build: everysec, inject: onStandalone(func(_ *world, a *standalone) error { a.proxy.reset(); return nil })},
	{name: "replies from Redis are lost", build: everysec, inject: onStandalone(func(w *world, a *standalone) error {
		a.proxy.dropReplies.Store(true)
		pause(w, 10*time.Millisecond, 200*time.Millisecond)
		a.proxy.dropReplies.Store(false)
		return nil
	})},
	{name: "Redis does not reply for a second, then slowly", build: everysec, inject: onStandalone(func(_ *world, a *standalone) error {
		a.proxy.blackhole.Store(true)
		time.Sleep(time.Second)
		a.proxy.blackhole.Store(false)
		a.proxy.latency.Store(int64(50 * time.Millisecond))
		time.Sleep(500 * time.Millisecond)
		a.proxy.latency.Store(0)
		return nil
	})},
}
