package queue

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/result"
)

// nackArgs are the arguments of lua/nack.lua, without those that the recorder adds.
type nackArgs struct {
	Lease        job.Lease
	Action       requeueAction
	Delay        *time.Duration // nil for the back-off
	Reason       string
	DeadTTL      time.Duration
	Unique       string
	MaxFailures  int
	MinBackoff   time.Duration
	MaxBackoff   time.Duration
	Random       float64
	Cause        string
	Fairness     string
	DefaultGroup string
	MarkTTL      string
}

// nackReply is the result of lua/nack.lua.
type nackReply struct {
	Verdict string
	Delay   time.Duration // of RETRY
}

func (a *nackArgs) run(ctx context.Context, s *conn.Shard, recorder *result.Recorder, write result.Write) (r nackReply, err error) {
	words, err := recorder.Record(ctx, conn.NackScript, conn.Repeatable, write, a.keys(s), a.args())
	if err != nil {
		return r, err
	}
	if r.Verdict = words[0]; r.Verdict != conn.VerdictRetry {
		return r, nil
	}
	ms, err := resp.Number(words[1])
	if err != nil {
		return r, fmt.Errorf("nack: unexpected reply %q", words)
	}
	r.Delay = time.Duration(ms) * time.Millisecond
	return r, nil
}

func (a *nackArgs) keys(s *conn.Shard) []string {
	k, queue := s.Keys, a.Lease.Queue
	keys := []string{k.Tasks(queue), k.Delayed(queue), k.Tenant().DelayedQueues(), k.DeadLetters(queue), k.Tenant().CancelledJobs(), k.Uncounted(queue)}
	if a.Fairness != "" {
		keys = append(keys, s.FairKeys(queue)...)
	}
	return keys
}

func (a *nackArgs) args() []any {
	delay := ""
	if a.Delay != nil {
		delay = strconv.FormatInt(a.Delay.Milliseconds(), 10)
	}
	args := append([]any{a.Lease.Group}, a.Lease.Args()...)
	return append(args, string(a.Action), delay, a.Reason, a.Lease.Queue, a.Lease.JobID, a.DeadTTL.Milliseconds(), a.Unique,
		a.MaxFailures, a.MinBackoff.Milliseconds(), a.MaxBackoff.Milliseconds(), a.Random, a.Cause, a.Fairness, a.DefaultGroup, a.MarkTTL)
}
