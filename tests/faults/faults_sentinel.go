package main

import (
	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// asSentinels is a master with replicas and sentinels.
func asSentinels(args ...string) func(dir string) (topology, error) {
	return func(dir string) (topology, error) { return newSentinels(dir, args...) }
}

func withSentinels(inject func(*world, *sentinels) error) func(*world) error {
	return func(w *world) error { return inject(w, w.topology.(*sentinels)) }
}

var (
	minReplicas = []string{"--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"}
	waitForOne  = []string{"--wait-replicas", "1"}
)

var sentinelFaults = []scenario{
	{name: "Sentinel: the master is killed", build: asSentinels(), inject: withSentinels(killMaster)},
	{name: "Sentinel: the master is parted", build: asSentinels(), inject: withSentinels(partMaster(history.LostAll))},
	{name: "Sentinel: the same, min-replicas-to-write 1", build: asSentinels(minReplicas...), inject: withSentinels(partMaster(history.LostAll))},
	{name: "Sentinel: the same, wait_replicas 1", build: asSentinels(), serve: waitForOne, inject: withSentinels(partMaster(history.LostRest))},
}

// killMaster kills the master; a replica takes over, and the old master comes back as its
// replica.
func killMaster(_ *world, s *sentinels) error {
	m, err := s.master()
	if err != nil {
		return err
	}
	s.observer.kill(m)
	if err := s.failedOver(m); err != nil {
		return err
	}
	if err := m.start(); err != nil {
		return err
	}
	return s.whole()
}

// partMaster parts the master from its replicas and the sentinels, without a word, while
// clients go on to write to it. Once a replica has taken over, the old master is let back.
func partMaster(lost string) func(w *world, s *sentinels) error {
	return func(_ *world, s *sentinels) error {
		s.observer.mayLose(lost)
		m, err := s.master()
		if err != nil {
			return err
		}
		m.proxy.parted.Store(true)
		err = s.failedOver(m)
		m.proxy.parted.Store(false)
		if err != nil {
			return err
		}
		return s.whole()
	}
}
