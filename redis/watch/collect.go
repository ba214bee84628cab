package watch

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// shardTimeout is how long a watcher of jobs in several shards waits for one of them.
const shardTimeout = time.Second

// collected is what a watcher has taken from its inbox.
type collected struct {
	states  []notification
	events  []jobEvents
	pending []*jobWatch  // that read for themselves
	reads   []streamRead // one for each of pending
}

// jobEvents is a reply with events of a job.
type jobEvents struct {
	*jobWatch
	reply streamReply
}

// collect turns notifications into frames: it takes a page of them, and reads what they do not carry.
// isEmpty is true when there were none.
func (w *Watcher) collect(ctx context.Context) (isEmpty bool, err error) {
	taken := w.inbox.Take(w.page)
	var all collected
	for _, n := range taken {
		if w.follows(n.Owner) {
			all.add(n)
		}
	}
	if len(all.reads) > 0 {
		replies, err := readShards(ctx, all.pending, all.reads)
		if err != nil {
			return false, err
		}
		for i, j := range all.pending {
			all.events = append(all.events, jobEvents{j, replies[i]})
		}
	}
	for _, n := range all.states { // first, because an event may end the watch
		w.takeState(n.Owner, n.Payload)
	}
	bytes := 0
	for _, e := range all.events {
		bytes += e.reply.bytes
		w.takeEvents(ctx, e.jobWatch, e.reply)
	}
	w.page = nextPageSize(w.page, bytes, len(taken) == w.page, takenBytes, firstTaken, maxPage)
	return len(taken) == 0, nil
}

// follows reports whether a job was not removed meanwhile.
func (w *Watcher) follows(j *jobWatch) bool { return w.jobs[j.jobID] == j }

// add sorts a notification by what is to be done.
func (c *collected) add(n notification) {
	j := n.Owner
	switch {
	case n.IsValue && n.Payload == nil:
		j.hub.states.schedule.request(n.Key)
		return
	case n.IsValue:
		c.states = append(c.states, n)
		return
	case n.Payload != nil && !j.isNew:
		if n.Payload.seq < j.seq {
			return // a later one was used
		}
		if reply, ok := j.use(n.Payload); ok {
			c.events = append(c.events, jobEvents{j, reply})
			return
		}
	}
	c.pending, c.reads = append(c.pending, j), append(c.reads, j.nextRead())
}

// readShards reads for jobs, in each shard at the same time. One shard that does not answer delays the
// others no longer than shardTimeout.
func readShards(ctx context.Context, jobs []*jobWatch, reads []streamRead) ([]streamReply, error) {
	first := jobs[0].hub
	if !slices.ContainsFunc(jobs, func(j *jobWatch) bool { return j.hub != first }) {
		return first.events.read(ctx, reads)
	}
	indexes := make(map[*Hub][]int)
	for i, j := range jobs {
		indexes[j.hub] = append(indexes[j.hub], i)
	}
	replies := make([]streamReply, len(reads))
	var calls sync.WaitGroup
	for hub, at := range indexes {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, shardTimeout)
			defer cancel()
			if found, err := hub.events.read(ctx, choose(reads, at)); err == nil {
				put(replies, at, found)
				return
			}
			for _, i := range at {
				replies[i].err = job.ErrUnavailable
			}
		})
	}
	calls.Wait()
	return replies, ctx.Err()
}
