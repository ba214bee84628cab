package main

import (
	"fmt"
	"slices"
)

// mixes are scenarios of many faults in a random order.
var mixes = []scenario{
	mix("one Redis, all faults in a random order", everysec, processFaults, connectionFaults, redisFaults, clientFaults),
	mix("Sentinel, failovers and faults of servers and workers", asSentinels(), processFaults, sentinelFaults),
	mix("Cluster, 6 shards, slots that move, lost masters, and faults of servers and workers", asShards, processFaults, clusterFaults),
}

// mix takes the faults that need no world of their own. Those that kill a lone Redis are
// not for a world with many.
func mix(name string, build func(string) (topology, error), faults ...[]scenario) scenario {
	all := slices.DeleteFunc(slices.Concat(faults...), func(s scenario) bool { return s.begin != nil || s.serve != nil })
	return scenario{name: name, build: build, inject: func(w *world) error {
		if _, isAlone := w.topology.(*alone); !isAlone {
			all = slices.DeleteFunc(slices.Clone(all), func(s scenario) bool { return s.needsAlone })
		}
		s := all[w.random.IntN(len(all))]
		if err := s.inject(w); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		return nil
	}}
}
