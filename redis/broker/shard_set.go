package broker

import (
	"sync"
	"sync/atomic"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// shardSet are the shards of a tenant.
type shardSet struct {
	shards []*shard
	// isNumbered: the settings say how many shards there are, and names that lists give carry theirs.
	isNumbered bool
	next       atomic.Uint32 // which shard is read first, and gets what may lie anywhere
}

// index is the number of a job's shard, of the shard itself.
func (s *shardSet) index(jobID string) int { return job.ShardOf(jobID, len(s.shards)) }

func (s *shardSet) of(jobID string) *shard { return s.shards[s.index(jobID)] }

// any is each shard in turn.
func (s *shardSet) any() int { return int(s.next.Add(1) % uint32(len(s.shards))) }

// holder is the shard under whose prefix a lease was given, or, to tell what is wrong with
// the token, any.
func (s *shardSet) holder(token string) *shard { return s.shards[s.holderIndex(token)] }

func (s *shardSet) holderIndex(token string) int {
	lease, err := job.ParseLease(token)
	if err != nil {
		return 0
	}
	return s.under(lease.Prefix)
}

// under is the shard with a prefix, 0 when there is none.
func (s *shardSet) under(prefix string) int {
	for i, b := range s.shards {
		if b.Keys.Prefix == prefix {
			return i
		}
	}
	return 0
}

// all runs something for every shard at once, and returns the errors by shard.
func (s *shardSet) all(call func(i int, b *shard) error) []error {
	every := make([]int, len(s.shards))
	for i := range every {
		every[i] = i
	}
	return s.some(every, call)
}

// some is all for some of the shards.
func (s *shardSet) some(which []int, call func(i int, b *shard) error) []error {
	errs := make([]error, len(s.shards))
	if len(which) == 1 {
		i := which[0]
		errs[i] = call(i, s.shards[i])
		return errs
	}
	var calls sync.WaitGroup
	for _, i := range which {
		calls.Go(func() { errs[i] = call(i, s.shards[i]) })
	}
	calls.Wait()
	return errs
}

// firstOf is the first error that is one.
func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// scatter splits items over shards, runs a call with each part at once, and puts the
// results where their items were. The errors are by shard.
func scatter[T, R any](s *shardSet, items []T, shardOf func(T) int, call func(i int, b *shard, part []T) ([]R, error)) ([]R, []error) {
	places := make([][]int, len(s.shards))
	for at, item := range items {
		i := shardOf(item)
		places[i] = append(places[i], at)
	}
	var busy []int
	for i := range places {
		if len(places[i]) > 0 {
			busy = append(busy, i)
		}
	}
	results := make([]R, len(items))
	errs := s.some(busy, func(i int, b *shard) error {
		part := make([]T, len(places[i]))
		for n, at := range places[i] {
			part[n] = items[at]
		}
		found, err := call(i, b, part)
		for n, r := range found {
			results[places[i][n]] = r
		}
		return err
	})
	return results, errs
}
