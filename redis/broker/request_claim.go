package broker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// claimSpare is how much longer a claim is kept than the records of its request, which are made later.
const claimSpare = time.Minute

// requestClaim is an attempt to publish with a request id in one of several shards. A nil claim is
// that of a request without an id. One shard needs no claims: its record of the request suffices.
type requestClaim struct {
	shard   *shard // the one that keeps the claim
	keys    []string
	digests string
	attempt string
}

// claim checks the tasks to be published and makes their request id, if they have one, stand for one
// request in all shards: the shard of the id keeps the digest of the first request that used it.
// ErrRequestIDConflict for a request with another digest.
func (t *Tasks) claim(ctx context.Context, p queue.Publication, field func(int) string) (*requestClaim, error) {
	s := t.of(p.RequestID)
	name, err := s.QueueName(p.Queue)
	if err != nil {
		return nil, err
	}
	if _, err := s.publisher.Entries(p.Tasks, s.QueueSettings(name), p.State != nil, field); err != nil || p.RequestID == "" {
		return nil, err
	}
	if err := job.CheckID("request_id", p.RequestID); err != nil {
		return nil, err
	}
	p.Queue = name
	c := &requestClaim{shard: s, keys: []string{s.Keys.Claim(name, p.RequestID), s.Keys.OldClaim(p.RequestID)}, digests: p.Digests(), attempt: uuid.NewString()}
	word, err := c.run(ctx, "claim")
	if word == "CONFLICT" {
		err = job.ErrRequestIDConflict
	}
	return c, err
}

func (c *requestClaim) run(ctx context.Context, mode string) (string, error) {
	ttl := (c.shard.Settings.RequestWindow + claimSpare).Milliseconds()
	return conn.ClaimScript.Word(ctx, c.shard.Conn, conn.Repeatable, c.keys, mode, c.digests, ttl, c.attempt)
}

// release frees the request id if no shard has recorded the request: all of them refused it, and there
// was no other attempt. A failure is logged only, because the claim expires.
func (c *requestClaim) release(ctx context.Context, errs ...error) {
	if c == nil || slices.ContainsFunc(errs, func(err error) bool { return !isRefusal(err) }) {
		return
	}
	if _, err := c.run(context.WithoutCancel(ctx), "release"); err != nil {
		c.shard.Log.Debug("request id not released; it expires", "error", err)
	}
}

// isRefusal reports whether a publish that failed with the error wrote nothing.
func isRefusal(err error) bool {
	for _, refusal := range []error{job.ErrInvalid, job.ErrQueueFull, job.ErrJobExists, job.ErrJobActive, job.ErrTooManyQueues, job.ErrOutOfMemory} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}
