package broker

import (
	"context"

	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// DeadLetters lists a page of a queue's dead letters, oldest first in each shard: up to count of them
// after the ID of one, "" for the first page. A page with fewer than count is the last.
func (a *Admin) DeadLetters(ctx context.Context, queue, after string, count int) ([]admin.DeadLetter, error) {
	all, _, err := pages(a.shardSet, after, count, func(s *shard, after string, count int) ([]admin.DeadLetter, string, error) {
		list, err := s.letters.List(ctx, queue, after, count)
		return list, nextOfFull(list, count, func(d admin.DeadLetter) string { return d.ID }), err
	}, func(d *admin.DeadLetter, i int) { d.ID = a.inShard(i, d.ID) })
	return all, err
}

// Redrive moves dead letters back to their queue, all of them or those with the ids, as tasks that were
// never tried. The results that their deaths recorded are withdrawn. It returns how many it moved; ids
// that don't exist and entries that are not tasks are left out. job.ErrJobActive when a queue of unique
// jobs has another task of a job; the count is that of the letters moved before.
func (a *Admin) Redrive(ctx context.Context, queue string, all bool, ids []string) (int, error) {
	return a.eachLetter(all, ids, func(s *shard, ids []string) (int, error) { return s.letters.Redrive(ctx, queue, all, ids) })
}

// DeleteDeadLetters removes dead letters, all of them or those with the ids, and returns how many there
// were.
func (a *Admin) DeleteDeadLetters(ctx context.Context, queue string, all bool, ids []string) (int, error) {
	return a.eachLetter(all, ids, func(s *shard, ids []string) (int, error) { return s.letters.Delete(ctx, queue, all, ids) })
}

// eachLetter runs call in the shards of the ids, or in all shards, and adds up its counts.
func (a *Admin) eachLetter(all bool, ids []string, call func(s *shard, ids []string) (int, error)) (int, error) {
	if err := admin.CheckLetterIDs(all, ids); err != nil {
		return 0, err
	}
	parts := make([][]string, len(a.shards))
	for _, id := range ids {
		i, inner, ok := a.parseInShard(id)
		if _, _, isID := job.SplitCursor(inner); !ok || !isID {
			return 0, admin.InvalidLetterID(id)
		}
		parts[i] = append(parts[i], inner)
	}
	counts := make([]int, len(a.shards))
	errs := a.all(func(i int, s *shard) (err error) {
		if all || len(parts[i]) > 0 {
			counts[i], err = call(s, parts[i])
		}
		return err
	})
	total := 0
	for _, n := range counts {
		total += n
	}
	return total, firstError(errs)
}
