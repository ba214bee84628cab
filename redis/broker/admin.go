package broker

import (
	"context"
	"errors"
)

// Admin looks into queues and acts on whole queues.
type Admin struct{ *shardSet }

// Clean removes settled entries that were not deleted, consumers that are gone and hold nothing, and
// the names of queues that no longer exist, and gives a TTL to states and completion streams that
// have none. A broker does so in the background, a part every 30 seconds.
func (a *Admin) Clean(ctx context.Context) error {
	return firstError(a.all(func(_ int, s *shard) error { return s.cleaner.Clean(ctx) }))
}

// unlessAll returns the first of the errors by shard, where it is no error that some shards, but not
// all, lack what is looked for.
func (a *Admin) unlessAll(errs []error, missing error) error {
	lacking := 0
	for _, err := range errs {
		switch {
		case errors.Is(err, missing):
			lacking++
		case err != nil:
			return err
		}
	}
	if lacking == len(errs) {
		return errs[0]
	}
	return nil
}
