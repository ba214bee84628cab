package admin

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// Trimmer removes settled entries from task streams.
type Trimmer struct {
	*conn.Shard
	unseenRemoved atomic.Int64
}

// NewTrimmer returns a trimmer.
func NewTrimmer(shard *conn.Shard) *Trimmer { return &Trimmer{Shard: shard} }

// UnseenRemoved is how many entries were removed that no consumer is known to have been given: every
// consumer group began behind them.
func (t *Trimmer) UnseenRemoved() int64 { return t.unseenRemoved.Load() }

// trim removes entries that every group has settled from a queue's beginning. What no
// consumer is known to have been given is not removed without a word: it is logged and
// counted.
func (t *Trimmer) trim(ctx context.Context, queue string) error {
	total, unseen, lastUnseen := int64(0), int64(0), ""
	for {
		reply, err := conn.TrimScript.Strings(ctx, t.Conn, conn.Repeatable, []string{t.Keys.Tasks(queue), t.Keys.GroupBegins(queue)},
			trimPage, t.Settings.DefaultGroup, cancelledPeriod.Milliseconds())
		if err != nil {
			return err
		}
		removed, err1 := resp.Number(reply[0])
		skipped, err2 := resp.Number(reply[1])
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if skipped > 0 {
			unseen, lastUnseen = unseen+skipped, reply[2]
		}
		if total += removed; removed < trimPage-1 {
			break
		}
	}
	if total > 0 {
		t.Log.Debug("removed settled entries", "queue", queue, "entries", total)
	}
	if unseen > 0 {
		t.unseenRemoved.Add(unseen)
		t.Log.Warn("removed entries that no consumer is known to have been given: every consumer group of the stream began behind them",
			"queue", queue, "entries", unseen, "last_message_id", lastUnseen)
	}
	return nil
}
