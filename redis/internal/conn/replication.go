package conn

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// A queue can require that replicas confirm a publish or a result before it is acknowledged
// (QueueConfig.WaitReplicas): Redis replicates asynchronously, and a failover loses what is not
// replicated yet. WAIT must follow the write on its connection. It waits for everything that Redis
// has written so far, for any client, so a repeated call that finds its write done waits for it
// as well.

// errTooFewReplicas: the write is done, and may be lost in a failover.
var errTooFewReplicas = errors.New("too few replicas have the write")

// maxMoves is how often a write follows a slot to another node.
const maxMoves = 3

// replicated runs a command and WAIT. It takes a connection of its own: on a shared one, other
// callers would wait as well.
func (c *Conn) replicated(ctx context.Context, queue job.QueueSettings, w resp.Command) (r *resp.Reply, err error) {
	timeout := min(queue.WaitTimeout, c.Config.ReadTimeout/2)
	for range maxMoves {
		var node *goredis.Client
		if node, err = c.writer(ctx); err != nil {
			return nil, err
		}
		pipe := node.Pipeline()
		cmd, wait := Raw(ctx, w), goredis.NewIntCmd(ctx, "wait", queue.WaitReplicas, max(1, timeout.Milliseconds()))
		_, _ = pipe.Process(ctx, cmd), pipe.Process(ctx, wait)
		_, _ = pipe.Exec(ctx) // the errors are in the commands
		r, err = RawReply(cmd)
		if err == nil {
			err = wait.Err()
		}
		if err == nil && wait.Val() < int64(queue.WaitReplicas) {
			err = errTooFewReplicas
		}
		c.Batcher.reload(err)
		if !IsMoved(err) {
			return r, err
		}
		if !Pause(ctx, 10*time.Millisecond) {
			return nil, ctx.Err()
		}
	}
	return nil, err
}

// writer returns the client of the node that has the keys.
func (c *Conn) writer(ctx context.Context) (*goredis.Client, error) {
	switch client := c.Commands.(type) {
	case *goredis.ClusterClient:
		return client.MasterForKey(ctx, c.Keys.Prefix)
	case *goredis.Client:
		return client, nil
	}
	return nil, errors.New("this kind of client can't wait for replicas")
}
