package main

import (
	"fmt"
	"slices"
)

// mixes are scenarios of many faults in random order.
var mixes = []scenario{
	mix("standalone Redis, all faults in random order", everysec, processFaults, connectionFaults, redisFaults, clientFaults),
	mix("Sentinel, failovers, and faults of servers and workers", threeSentinels(), processFaults, sentinelFaults),
	mix("Cluster, 6 shards, slot migrations, failovers, and faults of servers and workers", sixShards, processFaults, clusterFaults),
}

// mix is a scenario that injects a random one of the faults each time, except those that need a
// prepared world. Outside the standalone deployment it leaves out the faults that require it.
func mix(name string, build func(string) (topology, error), faults ...[]scenario) scenario {
	all := slices.DeleteFunc(slices.Concat(faults...), func(s scenario) bool { return s.begin != nil || s.serve != nil })
	return scenario{name: name, build: build, inject: func(w *world) error {
		if _, isStandalone := w.topology.(*standalone); !isStandalone {
			all = slices.DeleteFunc(slices.Clone(all), func(s scenario) bool { return s.needsStandalone })
		}
		s := all[w.random.IntN(len(all))]
		if err := s.inject(w); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		return nil
	}}
}
