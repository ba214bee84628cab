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

// claimSpare is how much longer than its records a claim is kept: it is made before them.
const claimSpare = time.Minute

// requestClaim is an attempt to publish with a request id. Without one it is nil.
type requestClaim struct {
	broker  *shard // of the shard that keeps it
	keys    []string
	digests string
	attempt string
}

// claim checks tasks that are to be published, and makes their request id, if they have one,
// stand for one request in all shards: the shard of the id keeps the digest of the first
// that was made with it. ErrRequestIDConflict for another.
func (t *Tasks) claim(ctx context.Context, p queue.Publication, field func(int) string) (*requestClaim, error) {
	b := t.of(p.RequestID)
	queue, err := b.QueueName(p.Queue)
	if err != nil {
		return nil, err
	}
	if _, err := b.publisher.Entries(p.Tasks, b.QueueSettings(queue), p.State != nil, field); err != nil || p.RequestID == "" {
		return nil, err
	}
	if err := job.CheckID("request_id", p.RequestID); err != nil {
		return nil, err
	}
	p.Queue = queue
	c := &requestClaim{broker: b, keys: []string{b.Keys.Claim(queue, p.RequestID), b.Keys.OldClaim(p.RequestID)}, digests: p.Digests(), attempt: uuid.NewString()}
	word, err := c.run(ctx, "claim")
	if word == "CONFLICT" {
		err = job.ErrRequestIDConflict
	}
	return c, err
}

func (c *requestClaim) run(ctx context.Context, mode string) (string, error) {
	ttl := (c.broker.Settings.RequestWindow + claimSpare).Milliseconds()
	return conn.ClaimScript.Word(ctx, c.broker.Conn, conn.Repeatable, c.keys, mode, c.digests, ttl, c.attempt)
}

// release frees the request id when no shard has recorded the request: all have refused it, and
// there was no other attempt. That it can't is no reason to fail: the claim expires.
func (c *requestClaim) release(ctx context.Context, errs ...error) {
	if c == nil || slices.ContainsFunc(errs, func(err error) bool { return !isRefusal(err) }) {
		return
	}
	if _, err := c.run(context.WithoutCancel(ctx), "release"); err != nil {
		c.broker.Log.Debug("could not free a request id", "error", err)
	}
}

// isRefusal is true of the error of a publish that wrote nothing.
func isRefusal(err error) bool {
	for _, refusal := range []error{job.ErrInvalid, job.ErrQueueFull, job.ErrJobExists, job.ErrJobActive, job.ErrTooManyQueues, job.ErrOutOfMemory} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}
