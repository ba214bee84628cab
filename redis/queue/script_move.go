package queue

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// moveArgs are the arguments of lua/move.lua.
type moveArgs struct {
	Queue        string
	Max          int
	DeadTTL      time.Duration
	Fairness     string
	IsCounting   bool // the tasks in flight are to be counted again
	DefaultGroup string
	Settled      []string // entries
}

// moveReply is the result of lua/move.lua.
type moveReply struct {
	Moved   int
	Next    time.Duration // until the next delayed task is due, at most conn.LongPeriod
	Backlog int
}

func (a *moveArgs) run(ctx context.Context, s *conn.Shard) (moveReply, error) {
	keys := []string{s.Keys.Delayed(a.Queue), s.Keys.Tasks(a.Queue), s.Keys.Tenant().DelayedQueues(), s.Keys.DeadLetters(a.Queue)}
	mode := ""
	if a.IsCounting {
		mode = "count"
	}
	args := []any{a.Queue, a.Max, a.DeadTTL.Milliseconds(), a.Fairness, mode, a.DefaultGroup}
	words, err := conn.MoveScript.Strings(ctx, s.Conn, conn.Repeatable, append(keys, s.FairKeys(a.Queue)...), conn.AppendStrings(args, a.Settled)...)
	if err != nil {
		return moveReply{}, err
	}
	return decodeMove(words)
}

// decodeMove reads the script's reply.
func decodeMove(words []string) (moveReply, error) {
	if len(words) != 3 {
		return moveReply{}, fmt.Errorf("move: unexpected reply %q", words)
	}
	moved, errMoved := resp.Number(words[0])
	backlog, errBacklog := resp.Number(words[2])
	r := moveReply{Moved: int(moved), Next: conn.LongPeriod, Backlog: int(backlog)}
	err := cmp.Or(errMoved, errBacklog)
	if err == nil && words[1] != "" {
		var ms int64
		ms, err = resp.Number(words[1])
		r.Next = min(r.Next, time.Duration(ms)*time.Millisecond)
	}
	if err != nil {
		return moveReply{}, fmt.Errorf("move: unexpected reply %q: %w", words, err)
	}
	return r, nil
}
