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

// world is what a scenario breaks: a Redis, and two tenants on it with servers, producers,
// workers and watchers.
type world struct {
	dir      string
	argus    string // the server to test
	random   *rand.Rand
	topology topology
	main     *tenant
	other    *tenant // with little to do: it must not notice the main one
	extra    []*process
	deaf     *deaf
	names    int // of what was given a number
	base     baseline
}

// sizes of a world.
type sizes struct {
	lease       time.Duration // short, so that redelivery is seen
	main, other load
}

var (
	full  = sizes{2 * time.Second, load{2, 3, 150, 30}, load{1, 1, 15, 5}}
	brief = sizes{time.Second, load{2, 3, 60, 20}, load{1, 1, 10, 5}}
	form  = full
)

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
	if w.main, err = newTenant(w, "argus", form.main, s.serve); err != nil {
		return w, err
	}
	if w.other, err = newTenant(w, "other", form.other, s.serve); err != nil {
		return w, err
	}
	w.base = w.measure()
	for t, l := range map[*tenant]load{w.main: form.main, w.other: form.other} {
		if err = t.begin(l); err != nil {
			return w, err
		}
	}
	return w, w.underWay()
}

func (w *world) tenants() []*tenant { return []*tenant{w.main, w.other} }

// underWay waits until results come in.
func (w *world) underWay() error {
	for _, t := range w.tenants() {
		if err := until(30*time.Second, func() bool { return t.hasResults(5) }); err != nil {
			return fmt.Errorf("the load of %s did not begin: %w", t.name, err)
		}
	}
	return nil
}

// hasResults is true when the tenant's workers have reported so many results.
func (t *tenant) hasResults(n int) bool {
	events, err := history.Read(t.dir, "worker-*")
	for _, e := range events {
		if e.Kind == history.Complete {
			n--
		}
	}
	return err == nil && n <= 0
}

// slack is how long before a failure the writes were made that it may lose too: what is on
// its way to the replicas or to the disk.
const slack = 3 * time.Second

// loses runs a failure by which Redis may lose what it acknowledged.
func (w *world) loses(what string, since time.Time, failure func() error) error {
	err := failure()
	for _, t := range w.tenants() {
		t.role.log.Add(history.Event{Kind: history.Failure, Who: "suite", Outcome: what, Began: since})
	}
	return err
}

// drain ends the load and waits until everything is worked off.
func (w *world) drain() error {
	return errors.Join(w.main.drain(), w.other.drain())
}

// end stops everything and removes the folder.
func (w *world) end() {
	for _, p := range w.extra {
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
