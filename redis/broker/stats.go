package broker

import "github.com/hikmaai-io/argus-queue/redis/watch"

// Stats counts what waits, and how it is woken.
type Stats struct {
	watch.WaitStats
	// UnseenRemoved is how many entries this process removed from task streams that no consumer is
	// known to have been given: every consumer group began behind them.
	UnseenRemoved int64
}

// WaitStats sums the counts of all shards.
func (b *Broker) WaitStats() (sum Stats) {
	for i, s := range b.set.shards {
		w := s.watch.WaitStats()
		if i == 0 {
			sum.Tracking, sum.Workers = w.Tracking, w.Workers // each read waits in all of them
		}
		sum.Tracking = sum.Tracking && w.Tracking
		sum.Connections, sum.Keys, sum.Polled = sum.Connections+w.Connections, sum.Keys+w.Keys, sum.Polled+w.Polled
		sum.Changes, sum.Reads, sum.Pipelines, sum.Polls = sum.Changes+w.Changes, sum.Reads+w.Reads, sum.Pipelines+w.Pipelines, sum.Polls+w.Polls
		sum.UnseenRemoved += s.trimmer.UnseenRemoved()
	}
	return sum
}
