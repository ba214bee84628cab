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

// watch watches some of a producer's jobs, each until its result, whatever breaks in
// between.
func (r *role) watch(ctx context.Context) {
	var all sync.WaitGroup
	var n atomic.Int64
	for range r.streams {
		all.Go(func() {
			for ctx.Err() == nil {
				r.await(ctx, fmt.Sprintf("%s-%d", r.producer, n.Add(1)*watchEvery), patience)
			}
		})
	}
	all.Wait()
}

// crowd watches as many jobs as it has streams, until each has its result.
func (r *role) crowd(ctx context.Context) {
	var all sync.WaitGroup
	for i := range r.streams {
		// A server limits the streams of a connection: a hundred share one.
		if i%100 == 0 && i > 0 {
			r = r.anew()
		}
		one := r
		all.Go(func() { one.await(ctx, fmt.Sprintf("%s-%d", r.producer, i), time.Hour) })
	}
	all.Wait()
	<-ctx.Done()
}

// await watches a job until its result. It leaves a job that has none for long: its task
// may be lost.
func (r *role) await(ctx context.Context, job string, patience time.Duration) {
	r.log.Add(history.Event{Kind: history.Follow, Who: r.name, Job: job})
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for cursor, done := "", false; patient.Err() == nil; {
		if done, cursor = r.follow(patient, job, cursor); done {
			return
		}
	}
	e := history.Event{Kind: history.Waits, Who: r.name, Job: job}
	if ctx.Err() == nil {
		e.Outcome = history.Left
	}
	r.log.Add(e)
}

// follow is one stream of a watch.
func (r *role) follow(ctx context.Context, job, cursor string) (done bool, after string) {
	stream, err := argusv1.NewCompletionClient(r.conn()).Watch(ctx, &argusv1.WatchRequest{JobId: job, AfterCursor: cursor})
	for err == nil {
		var frame *argusv1.WatchResponse
		if frame, err = stream.Recv(); err != nil {
			break
		}
		if e := frame.GetEvent(); e != nil {
			cursor = e.GetCursor()
			r.log.Add(history.Event{Kind: history.Watch, Who: r.name, Job: job, Cursor: cursor, Status: e.GetStatusText(), Canary: e.GetFields()["canary"]})
			if e.GetTerminal() {
				return true, cursor
			}
		}
	}
	if to, isExpired := earliest(err); isExpired {
		cursor = to
		r.log.Add(history.Event{Kind: history.Expired, Who: r.name, Job: job, Cursor: cursor})
	}
	if errors.Is(err, io.EOF) || ctx.Err() != nil {
		return false, cursor
	}
	if status.Code(err) == codes.Internal {
		log.Printf("%s: the watch of %s ended: %v", r.name, job, err)
	}
	r.elsewhere()
	return false, cursor
}
