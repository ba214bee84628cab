package watch

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/result"
)

// eventReader reads streams for watches that need more than was delivered to them. Reads that are
// requested at the same time share a round trip, and equal ones share a reply.
type eventReader struct {
	streams      *keyReader[streamRead, streamReply]
	addSnapshots func(ctx context.Context, page []streamRead, replies []streamReply)
	trips        *roundTrips
	requests     chan eventRequest
	closed       chan struct{} // closed when requests are no longer served
}

func newEventReader(shard *conn.Shard, results *result.Lookup, subscriptions *Subscriptions, active *activeConn, trips *roundTrips) *eventReader {
	streams := &keyReader[streamRead, streamReply]{
		active:        active,
		subscriptions: subscriptions,
		tracked:       func(c trackingConn, page []streamRead) []streamReply { return trackStreams(active, c, page) },
		pooled: func(ctx context.Context, page []streamRead) []streamReply {
			return pooledStreams(ctx, shard.Commands, page)
		},
		reread: subscriptions.NotifyKey,
	}
	return &eventReader{streams: streams, addSnapshots: (&snapshotReader{shard, results}).add, trips: trips,
		requests: make(chan eventRequest, maxPage), closed: make(chan struct{})}
}

// eventRequest is a read, and where its reply goes.
type eventRequest struct {
	streamRead
	reply chan<- indexedReply
	index int
}

type indexedReply struct {
	streamReply
	index int
}

// maxPage bounds how many keys one pipeline reads.
const maxPage = 500

// read reads streams, each with its own error. It fails as a whole when ctx ends, and with
// ErrUnavailable when requests are no longer served.
func (r *eventReader) read(ctx context.Context, reads []streamRead) ([]streamReply, error) {
	replies, all := make(chan indexedReply, len(reads)), make([]streamReply, len(reads))
	sent, received := 0, 0
	for received < len(reads) {
		var requests chan<- eventRequest
		var next eventRequest
		if sent < len(reads) {
			requests, next = r.requests, eventRequest{reads[sent], replies, sent}
		}
		select {
		case requests <- next:
			sent++
		case reply := <-replies:
			all[reply.index] = reply.streamReply
			received++
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.closed:
			return nil, job.ErrUnavailable
		}
	}
	return all, nil
}

// Run serves read until ctx ends. It must be called once.
func (r *eventReader) Run(ctx context.Context) {
	defer close(r.closed)
	for {
		var page []eventRequest
		select {
		case request := <-r.requests:
			page = append(page, request)
		case <-ctx.Done():
			return
		}
	more:
		for len(page) < maxPage {
			select {
			case request := <-r.requests:
				page = append(page, request)
			default:
				break more
			}
		}
		r.serve(ctx, page)
	}
}

// serve reads a page. Equal reads are made once and share the reply.
func (r *eventReader) serve(ctx context.Context, requests []eventRequest) {
	page := make([]streamRead, 0, len(requests))
	indexes := make(map[streamRead]int, len(requests))
	for _, request := range requests {
		if _, ok := indexes[request.streamRead]; !ok {
			indexes[request.streamRead] = len(page)
			page = append(page, request.streamRead)
		}
	}
	r.trips.add(len(page))
	replies := r.streams.read(ctx, page)
	r.addSnapshots(ctx, page, replies)
	for _, request := range requests {
		request.reply <- indexedReply{replies[indexes[request.streamRead]], request.index}
	}
}

// shardTimeout is how long a watcher of jobs in several shards waits for one of them.
const shardTimeout = time.Second

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
