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

// UnseenRemoved is how many entries were removed that were delivered to no known consumer: every
// consumer group began behind them.
func (t *Trimmer) UnseenRemoved() int64 { return t.unseenRemoved.Load() }

// trimPage is how many settled entries one script call removes.
const trimPage = 1000

// trim removes entries that every group has settled from a queue's beginning. Entries that were delivered to no
// known consumer are logged and counted.
func (t *Trimmer) trim(ctx context.Context, queue string) error {
	var total trimReply
	for isFull := true; isFull; {
		page, err := t.runTrim(ctx, trimArgs{Tasks: queue, Limit: trimPage})
		if err != nil {
			return err
		}
		total.Removed += page.Removed
		if page.Unseen > 0 {
			total.Unseen, total.LastUnseen = total.Unseen+page.Unseen, page.LastUnseen
		}
		isFull = page.Removed >= trimPage-1
	}
	if total.Removed > 0 {
		t.Log.Debug("removed settled entries", "queue", queue, "entries", total.Removed)
	}
	if total.Unseen > 0 {
		t.unseenRemoved.Add(total.Unseen)
		t.Log.Warn("removed entries that no consumer is known to have been given: every consumer group of the stream began behind them",
			"queue", queue, "entries", total.Unseen, "last_message_id", total.LastUnseen)
	}
	return nil
}

// trimArgs are the arguments of lua/trim.lua, under the names that its header gives them. The others follow
// from the settings.
type trimArgs struct {
	Tasks string // the queue
	Limit int
}

// trimReply is its result.
type trimReply struct {
	Removed    int64
	Unseen     int64
	LastUnseen string // entry id, "" for none
}

// runTrim runs the trim script.
func (t *Trimmer) runTrim(ctx context.Context, a trimArgs) (r trimReply, err error) {
	reply, err := conn.TrimScript.Strings(ctx, t.Conn, conn.Repeatable, []string{t.Keys.Tasks(a.Tasks), t.Keys.GroupBegins(a.Tasks)},
		a.Limit, t.Settings.DefaultGroup, cancelledPeriod.Milliseconds())
	if err != nil {
		return trimReply{}, err
	}
	var removedErr, unseenErr error
	r.Removed, removedErr = resp.Number(reply[0])
	r.Unseen, unseenErr = resp.Number(reply[1])
	r.LastUnseen = reply[2]
	return r, errors.Join(removedErr, unseenErr)
}
