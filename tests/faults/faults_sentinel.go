package main

import (
	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// threeSentinels builds a master with replicas and sentinels.
func threeSentinels(args ...string) func(dir string) (topology, error) {
	return func(dir string) (topology, error) { return newSentinels(dir, args...) }
}

// onSentinels adapts a fault of the Sentinel deployment.
func onSentinels(inject func(*world, *sentinels) error) func(*world) error {
	return func(w *world) error { return inject(w, w.topology.(*sentinels)) }
}

var (
	minReplicas = []string{"--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"}
	waitForOne  = []string{"--wait-replicas", "1"}
)

var sentinelFaults = []scenario{
	{name: "Sentinel: the master is killed", build: threeSentinels(), inject: onSentinels(killMaster)},
	{name: "Sentinel: the master is partitioned", build: threeSentinels(), inject: onSentinels(partitionMaster(history.LostAll))},
	{name: "Sentinel: the master is partitioned, min-replicas-to-write 1", build: threeSentinels(minReplicas...), inject: onSentinels(partitionMaster(history.LostAll))},
	{name: "Sentinel: the master is partitioned, wait_replicas 1", build: threeSentinels(), serve: waitForOne, inject: onSentinels(partitionMaster(history.LostUnconfirmed))},
}

// killMaster kills the master. A replica takes over, and the old master restarts as its replica.
func killMaster(_ *world, s *sentinels) error {
	m, err := s.master()
	if err != nil {
		return err
	}
	s.observer.kill(m)
	if err := s.awaitFailover(m); err != nil {
		return err
	}
	if err := m.start(); err != nil {
		return err
	}
	return s.awaitHealthy()
}

// partitionMaster cuts the master off from its replicas and the sentinels, while clients continue
// to write to it. After the failover the partition heals.
func partitionMaster(loss string) func(w *world, s *sentinels) error {
	return func(_ *world, s *sentinels) error {
		s.observer.setLoss(loss)
		m, err := s.master()
		if err != nil {
			return err
		}
		m.proxy.partitioned.Store(true)
		err = s.awaitFailover(m)
		m.proxy.partitioned.Store(false)
		if err != nil {
			return err
		}
		return s.awaitHealthy()
	}
}
