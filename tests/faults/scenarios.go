package main

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// scenario is a way to break things.
type scenario struct {
	name string
	// build starts the Redis.
	build func(dir string) (topology, error)
	// needsAlone: inject breaks a Redis that is the only one.
	needsAlone bool
	// serve are more flags of the servers.
	serve []string
	// begin prepares the world, if not nil.
	begin func(w *world) error
	// inject breaks something once, and mends it.
	inject func(w *world) error
	// finish checks or ends what inject began, before the load ends, if not nil.
	finish func(w *world) error
}

func pause(w *world, least, most time.Duration) {
	time.Sleep(least + time.Duration(w.random.Int64N(int64(most-least))))
}

// everysec and always are one Redis with an append-only file.
func everysec(dir string) (topology, error) { return newAlone(dir, "everysec") }
func always(dir string) (topology, error)   { return newAlone(dir, "always") }

// withAlone makes a fault of one that needs the one Redis of its world.
func withAlone(inject func(*world, *alone) error) func(*world) error {
	return func(w *world) error { return inject(w, w.topology.(*alone)) }
}

var scenarios = slices.Concat(processFaults, connectionFaults, redisFaults, lossFaults, clientFaults, sentinelFaults, clusterFaults)

var processFaults = []scenario{
	{name: "nothing", build: everysec, inject: func(*world) error { return nil }},
	{name: "a server is killed and started again", build: everysec, inject: killServer},
	{name: "rolling restart", build: everysec, inject: rollingRestart},
	{name: "Redis is killed, appendfsync always", build: always, needsAlone: true, inject: withAlone(restartRedis)},
	{name: "Redis is killed, appendfsync everysec", build: everysec, needsAlone: true, inject: withAlone(restartLossy)},
	{name: "a worker is killed", build: everysec, inject: killWorker},
	{name: "a worker stands still for longer than its leases", build: everysec, inject: stopWorker},
}

func killServer(w *world) error {
	s := w.main.servers[w.random.IntN(len(w.main.servers))]
	s.kill()
	pause(w, 50*time.Millisecond, 500*time.Millisecond)
	return s.restarted()
}

// restarted starts the server again, and waits until it serves.
func (s *server) restarted() error {
	if err := s.start(); err != nil {
		return err
	}
	if err := until(60*time.Second, s.isUp); err != nil {
		return fmt.Errorf("a server did not start again: %w", err)
	}
	return nil
}

func rollingRestart(w *world) error {
	for _, s := range w.main.servers {
		s.stop()
		if err := s.restarted(); err != nil {
			return err
		}
	}
	return nil
}

func restartRedis(w *world, a *alone) error {
	a.kill()
	pause(w, 50*time.Millisecond, 500*time.Millisecond)
	if err := a.start(); err != nil {
		return err
	}
	return a.up()
}

// restartLossy is restartRedis for appendfsync everysec: while the disk is slow to sync,
// Redis puts off writing to the file, for two seconds at most, and answers meanwhile.
func restartLossy(w *world, a *alone) error {
	return w.loses(history.LostAll, time.Now().Add(-slack), func() error { return restartRedis(w, a) })
}

func (w *world) worker() *process { return w.main.workers[w.random.IntN(len(w.main.workers))] }

func killWorker(w *world) error {
	worker := w.worker()
	worker.kill()
	return worker.start()
}

func stopWorker(w *world) error {
	worker := w.worker()
	worker.signal(syscall.SIGSTOP)
	time.Sleep(form.lease + form.lease/2)
	worker.signal(syscall.SIGCONT)
	return nil
}

var connectionFaults = []scenario{
	{name: "connections to Redis break", build: everysec, inject: withAlone(func(_ *world, a *alone) error { a.proxy.reset(); return nil })},
	{name: "answers of Redis are lost", build: everysec, inject: withAlone(func(w *world, a *alone) error {
		a.proxy.cut.Store(true)
		pause(w, 10*time.Millisecond, 200*time.Millisecond)
		a.proxy.cut.Store(false)
		return nil
	})},
	{name: "Redis is a black hole for a second, then slow", build: everysec, inject: withAlone(func(_ *world, a *alone) error {
		a.proxy.hole.Store(true)
		time.Sleep(time.Second)
		a.proxy.hole.Store(false)
		a.proxy.latency.Store(int64(50 * time.Millisecond))
		time.Sleep(500 * time.Millisecond)
		a.proxy.latency.Store(0)
		return nil
	})},
}
