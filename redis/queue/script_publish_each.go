package queue

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// publishEachArgs are the arguments of lua/publish_each.lua for one task.
type publishEachArgs struct {
	Stream      string
	State       string // key of the job's state
	StateTTL    time.Duration
	StateFields []string // field, value, …
	Entry       []string // field, value, …
}

// run publishes the task, in one script call with concurrent calls; the commands of after follow in the
// same round trip. It returns the task's entry id, or a verdict: EXISTS or NO_STREAM.
func (a *publishEachArgs) run(ctx context.Context, c *conn.Conn, after ...goredis.Cmder) (id, verdict string, err error) {
	args := make(resp.Command, 0, 3+len(a.StateFields)+len(a.Entry))
	args.Number(a.StateTTL.Milliseconds())
	args.Counted(a.StateFields...)
	args.Counted(a.Entry...)
	reply, err := c.Batcher.Call(ctx, &conn.BatchedCall{Script: conn.PublishEachScript, PerItem: 1,
		HeadKeys: resp.Command{a.Stream}, Keys: resp.Command{a.State}, Args: args}, conn.Once, after...)
	if err != nil {
		return "", "", err
	}
	switch word := reply[0].Word; word {
	case conn.VerdictExists, conn.VerdictNoStream:
		return "", word, nil
	default:
		return word, conn.VerdictOK, nil
	}
}
