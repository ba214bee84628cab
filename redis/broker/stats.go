package broker

import "github.com/hikmaai-io/argus-queue/redis/watch"

// Stats counts the waiting calls and how they were notified.
type Stats struct {
	watch.WaitStats
	// UnseenRemoved is how many entries this process removed from task streams that no consumer is
	// known to have received: every consumer group began behind them.
	UnseenRemoved int64
}

// WaitStats returns the sums over all shards. Tracking is true when it is for all of them, and Workers
// counts each waiting read once, although it waits in all shards.
func (b *Broker) WaitStats() (sum Stats) {
	for i, s := range b.set.shards {
		w := s.watch.WaitStats()
		if i == 0 {
			sum.Tracking, sum.Workers = w.Tracking, w.Workers
		}
		sum.Tracking = sum.Tracking && w.Tracking
		sum.Connections, sum.Keys, sum.Polled = sum.Connections+w.Connections, sum.Keys+w.Keys, sum.Polled+w.Polled
		sum.Changes, sum.Reads, sum.Pipelines, sum.Polls = sum.Changes+w.Changes, sum.Reads+w.Reads, sum.Pipelines+w.Pipelines, sum.Polls+w.Polls
		sum.UnseenRemoved += s.trimmer.UnseenRemoved()
	}
	return sum
}
