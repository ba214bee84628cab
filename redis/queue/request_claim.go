package queue

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// claimSpare is how much longer than its records a claim is kept: it is made before them.
const claimSpare = time.Minute

// RequestClaim is an attempt to publish with a request id in several shards. It is nil for a
// publication without one.
type RequestClaim struct {
	shard *conn.Shard // that keeps the claim
	args  claimArgs
}

// Claim checks a publication, and makes its request id, if it has one, stand for this request in all
// shards: the id's own shard keeps the digest of the first request that used it.
// ErrRequestIDConflict for another request. The caller must call Release when no shard has published.
func (pub *Publisher) Claim(ctx context.Context, p Publication) (*RequestClaim, error) {
	if _, err := pub.prepare(&p); err != nil || p.RequestID == "" {
		return nil, err
	}
	c := &RequestClaim{pub.Shard, claimArgs{Queue: p.Queue, RequestID: p.RequestID, Mode: claimModeClaim, Digests: p.digests(),
		TTL: pub.Settings.RequestWindow + claimSpare, Attempt: uuid.NewString()}}
	verdict, err := c.args.run(ctx, pub.Conn)
	if verdict == conn.VerdictConflict {
		err = job.ErrRequestIDConflict
	}
	return c, err
}

// Release frees the request id when no shard has recorded the request: all of them rejected it, and
// there was no other attempt. A failure is harmless: the claim expires.
func (c *RequestClaim) Release(ctx context.Context, errs ...error) {
	if c == nil || slices.ContainsFunc(errs, func(err error) bool { return !isRejection(err) }) {
		return
	}
	c.args.Mode = claimModeRelease
	if _, err := c.args.run(context.WithoutCancel(ctx), c.shard.Conn); err != nil {
		c.shard.Log.Debug("could not free a request id", "queue", c.args.Queue, "error", err)
	}
}

// isRejection is true for the error of a publish that has written nothing.
func isRejection(err error) bool {
	for _, rejection := range []error{job.ErrInvalid, job.ErrQueueFull, job.ErrJobExists, job.ErrJobActive, job.ErrTooManyQueues, job.ErrOutOfMemory} {
		if errors.Is(err, rejection) {
			return true
		}
	}
	return false
}

// claimArgs are the arguments of lua/claim.lua.
type claimArgs struct {
	Queue     string
	RequestID string
	Mode      string
	Digests   string
	TTL       time.Duration
	Attempt   string
}

// The modes of claim.lua.
const (
	claimModeClaim   = "claim"
	claimModeRelease = "release"
)

// run runs the script and returns its verdict.
func (a *claimArgs) run(ctx context.Context, c *conn.Conn) (string, error) {
	keys := []string{c.Keys.Claim(a.Queue, a.RequestID), c.Keys.OldClaim(a.RequestID)}
	return conn.ClaimScript.Word(ctx, c, conn.Repeatable, keys, a.Mode, a.Digests, a.TTL.Milliseconds(), a.Attempt)
}
