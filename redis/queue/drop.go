package queue

import (
	"context"
	"strconv"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/result"
)

// Dropped is a task that ends without a worker.
type Dropped struct {
	Place  Place
	JobID  string // "" for an entry that is not a task
	Part   string
	Result job.Result
	// isRecorded: another result records its end, or will.
	isRecorded bool
}

// DropReply is the outcome of a Drop.
type DropReply struct {
	Verdict  string     // DROPPED, GONE or LEASED
	Recorded string     // of DROPPED: OK, ALREADY, or "" when no result was to be recorded
	Cursor   string     // of the result that stands
	Status   job.Status // of an earlier result
}

// Drop removes a task from where it waits, and records its job's result.
func (c *Canceller) Drop(ctx context.Context, d Dropped) (DropReply, error) {
	config := c.QueueSettings(d.Place.Queue)
	args := dropArgs{Place: d.Place, Lease: config.Lease, DefaultGroup: c.Settings.DefaultGroup, HasMark: config.UniqueJobs, IsRecorded: d.JobID != "" && !d.isRecorded}
	return args.run(ctx, c.Shard, c.recorder, result.Write{JobID: d.JobID, Part: d.Part, Queue: config, Results: []job.Result{d.Result}})
}

// dropArgs are the arguments of lua/drop.lua, without those that the recorder adds.
type dropArgs struct {
	Place        Place
	Lease        time.Duration
	DefaultGroup string
	HasMark      bool // jobs are to be unique
	IsRecorded   bool
}

func (a *dropArgs) run(ctx context.Context, s *conn.Shard, recorder *result.Recorder, write result.Write) (DropReply, error) {
	where, id, published, mode := "nowhere", "", "", ""
	switch {
	case a.Place.EntryID != "":
		where, id = "entry", a.Place.EntryID
	case a.Place.member != "":
		where, id = "set", a.Place.member
	}
	if a.HasMark {
		published = strconv.FormatInt(a.Place.PublishedAt.UnixMilli(), 10)
	}
	if a.IsRecorded {
		mode = "record"
	}
	words, err := recorder.Record(ctx, conn.DropScript, conn.Repeatable, write, []string{s.Keys.Tasks(a.Place.Queue), a.Place.Set(s.Keys)},
		[]any{where, id, a.Lease.Milliseconds(), a.DefaultGroup, published, mode})
	if err != nil {
		return DropReply{}, err
	}
	if words[0] != conn.VerdictDropped {
		return DropReply{Verdict: words[0]}, nil
	}
	return DropReply{Verdict: words[0], Recorded: words[1], Cursor: words[2], Status: job.Status(words[3])}, nil
}
