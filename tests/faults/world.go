package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// world is the deployment that a scenario injects faults into: a Redis, and two tenants with
// servers, producers, workers and watchers.
type world struct {
	dir            string
	argus          string // path of the server under test
	random         *rand.Rand
	topology       topology
	main           *tenant
	other          *tenant // has a light load, which the main tenant's faults must not affect
	extraProcesses []*process
	unread         *unreadWatch
	nameCount      int // names made by uniqueName
	baseline       baseline
}

// loadProfile is the load of both tenants.
type loadProfile struct {
	lease       time.Duration // short, so that tasks are redelivered
	main, other load
}

var (
	full    = loadProfile{2 * time.Second, load{2, 3, 150, 30}, load{1, 1, 15, 5}}
	brief   = loadProfile{time.Second, load{2, 3, 60, 20}, load{1, 1, 10, 5}}
	profile = full
)

// newWorld starts a deployment under load. The caller calls end.
func newWorld(s scenario, argus string, seed uint64) (w *world, err error) {
	w = &world{argus: argus, random: rand.New(rand.NewPCG(seed, 1))}
	defer func() {
		if err != nil {
			w.end()
		}
	}()
	if w.dir, err = os.MkdirTemp("", "argus-faults-"); err != nil {
		return w, err
	}
	if w.topology, err = s.build(w.dir); err != nil {
		return w, err
	}
	if w.main, err = newTenant(w, "argus", profile.main, s.serve); err != nil {
		return w, err
	}
	if w.other, err = newTenant(w, "other", profile.other, s.serve); err != nil {
		return w, err
	}
	w.baseline = w.measure()
	for t, l := range map[*tenant]load{w.main: profile.main, w.other: profile.other} {
		if err = t.startLoad(l); err != nil {
			return w, err
		}
	}
	return w, w.awaitLoad()
}

func (w *world) tenants() []*tenant { return []*tenant{w.main, w.other} }

// awaitLoad waits until each tenant's workers have reported results.
func (w *world) awaitLoad() error {
	for _, t := range w.tenants() {
		if err := until(30*time.Second, func() bool { return t.hasResults(5) }); err != nil {
			return fmt.Errorf("tenant %s has no results: %w", t.name, err)
		}
	}
	return nil
}

// hasResults reports whether the tenant's workers have reported n results.
func (t *tenant) hasResults(n int) bool {
	events, err := history.Read(t.dir, "worker-*")
	for _, e := range events {
		if e.Kind == history.Complete {
			n--
		}
	}
	return err == nil && n <= 0
}

// slack is the age of the oldest writes that a failure may lose: those that have not reached the
// replicas or the disk.
const slack = 3 * time.Second

// withLoss runs a failure in which Redis may lose acknowledged writes, and records it. The
// failure may lose writes acknowledged after since.
func (w *world) withLoss(loss string, since time.Time, failure func() error) error {
	err := failure()
	for _, t := range w.tenants() {
		t.role.log.Add(history.Event{Kind: history.Failure, Client: "suite", Outcome: loss, Start: since})
	}
	return err
}

// drain stops the load and waits until all queues are empty.
func (w *world) drain() error {
	return errors.Join(w.main.drain(), w.other.drain())
}

// end stops all processes and removes the directory, unless KEEP_FAULTS is set.
func (w *world) end() {
	for _, p := range w.extraProcesses {
		p.end()
	}
	w.main.end()
	w.other.end()
	if w.topology != nil {
		w.topology.end()
	}
	if os.Getenv("KEEP_FAULTS") == "" {
		_ = os.RemoveAll(w.dir)
	} else {
		fmt.Fprintln(os.Stderr, "kept", filepath.Clean(w.dir))
	}
}
