package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// watch watches some of a producer's jobs, each until its result, and reconnects after failures.
func (r *role) watch(ctx context.Context) {
	var all sync.WaitGroup
	var n atomic.Int64
	for range r.streams {
		all.Go(func() {
			for ctx.Err() == nil {
				r.await(ctx, fmt.Sprintf("%s-%d", r.producer, n.Add(1)*watchInterval), watchTimeout)
			}
		})
	}
	all.Wait()
}

// crowd watches one job per stream, each until its result.
func (r *role) crowd(ctx context.Context) {
	var all sync.WaitGroup
	for i := range r.streams {
		// The server limits the streams per connection, so a hundred share one.
		if i%100 == 0 && i > 0 {
			r = r.withOwnConns()
		}
		client := r
		all.Go(func() { client.await(ctx, fmt.Sprintf("%s-%d", r.producer, i), time.Hour) })
	}
	all.Wait()
	<-ctx.Done()
}

// await watches a job until its result. It abandons a job without a result after the timeout,
// because its task may be lost.
func (r *role) await(ctx context.Context, job string, timeout time.Duration) {
	r.log.Add(history.Event{Kind: history.WatchStart, Client: r.name, Job: job})
	waitCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for cursor, done := "", false; waitCtx.Err() == nil; {
		if done, cursor = r.watchStream(waitCtx, job, cursor); done {
			return
		}
	}
	e := history.Event{Kind: history.WatchEnd, Client: r.name, Job: job}
	if ctx.Err() == nil {
		e.Outcome = history.Abandoned
	}
	r.log.Add(e)
}

// watchStream watches a job on one stream. It returns whether it received the result, and the
// cursor at which to resume.
func (r *role) watchStream(ctx context.Context, job, cursor string) (done bool, after string) {
	stream, err := argusv1.NewCompletionClient(r.conn()).Watch(ctx, &argusv1.WatchRequest{JobId: job, AfterCursor: cursor})
	for err == nil {
		var frame *argusv1.WatchResponse
		if frame, err = stream.Recv(); err != nil {
			break
		}
		if e := frame.GetEvent(); e != nil {
			cursor = e.GetCursor()
			r.log.Add(history.Event{Kind: history.WatchEvent, Client: r.name, Job: job, Cursor: cursor, Status: e.GetStatusText(), Canary: e.GetFields()["canary"]})
			if e.GetTerminal() {
				return true, cursor
			}
		}
	}
	if earliest, isExpired := earliestCursor(err); isExpired {
		cursor = earliest
		r.log.Add(history.Event{Kind: history.CursorExpired, Client: r.name, Job: job, Cursor: cursor})
	}
	if errors.Is(err, io.EOF) || ctx.Err() != nil {
		return false, cursor
	}
	if status.Code(err) == codes.Internal {
		log.Printf("%s: watch %s: %v", r.name, job, err)
	}
	r.switchServer()
	return false, cursor
}
