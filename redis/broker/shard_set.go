package broker

import (
	"sync"
	"sync/atomic"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// shardSet is the shards of a tenant, at least one.
type shardSet struct {
	shards []*shard
	// isNumbered: the settings give a number of shards, and names in lists carry their shard's.
	isNumbered bool
	next       atomic.Uint32 // the shard that is read first, and receives what may lie in any
}

// index is the number of a job's shard, and of is the shard.
func (s *shardSet) index(jobID string) int { return job.ShardOf(jobID, len(s.shards)) }

func (s *shardSet) of(jobID string) *shard { return s.shards[s.index(jobID)] }

// nextIndex returns the numbers of the shards in turn.
func (s *shardSet) nextIndex() int { return int(s.next.Add(1) % uint32(len(s.shards))) }

// holder is the shard that granted a lease. For a token that is not valid it is any shard, which says
// what is wrong with it.
func (s *shardSet) holder(token string) *shard { return s.shards[s.holderIndex(token)] }

func (s *shardSet) holderIndex(token string) int {
	lease, err := job.ParseLease(token)
	if err != nil {
		return 0
	}
	return s.withPrefix(lease.Prefix)
}

// withPrefix is the number of the shard with a prefix, 0 when there is none.
func (s *shardSet) withPrefix(prefix string) int {
	for i, shard := range s.shards {
		if shard.Keys.Prefix == prefix {
			return i
		}
	}
	return 0
}

// all runs call for every shard at the same time, and returns the errors by shard.
func (s *shardSet) all(call func(i int, s *shard) error) []error {
	every := make([]int, len(s.shards))
	for i := range every {
		every[i] = i
	}
	return s.some(every, call)
}

// some is all for some of the shards.
func (s *shardSet) some(which []int, call func(i int, s *shard) error) []error {
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

// firstError is the first of the errors that is not nil.
func firstError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// scatter splits items over the shards, runs call with each part at the same time, and puts the
// results where their items were. The errors are by shard.
func scatter[T, R any](set *shardSet, items []T, shardOf func(T) int, call func(i int, s *shard, part []T) ([]R, error)) ([]R, []error) {
	indexes := make([][]int, len(set.shards)) // of the items, by shard
	for at, item := range items {
		i := shardOf(item)
		indexes[i] = append(indexes[i], at)
	}
	var used []int
	for i := range indexes {
		if len(indexes[i]) > 0 {
			used = append(used, i)
		}
	}
	results := make([]R, len(items))
	errs := set.some(used, func(i int, s *shard) error {
		part := make([]T, len(indexes[i]))
		for n, at := range indexes[i] {
			part[n] = items[at]
		}
		found, err := call(i, s, part)
		for n, r := range found {
			results[indexes[i][n]] = r
		}
		return err
	})
	return results, errs
}
