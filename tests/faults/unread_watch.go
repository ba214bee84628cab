package main

import (
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// unreadWatch is a watch whose client does not read.
type unreadWatch struct {
	conn   *grpc.ClientConn
	stream grpc.ServerStreamingClient[argusv1.WatchResponse]
	since  time.Time // when its flow-control window overflowed
}

const unreadJob = "unread"

// openUnreadWatch opens the watch with a small flow-control window.
func openUnreadWatch(w *world) (err error) {
	w.unread = &unreadWatch{}
	if w.unread.conn, err = grpc.NewClient(w.main.servers[0].addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStaticStreamWindowSize(64<<10)); err != nil {
		return err
	}
	w.unread.stream, err = argusv1.NewCompletionClient(w.unread.conn).Watch(ctx, &argusv1.WatchRequest{JobId: unreadJob})
	return err
}

// overflowUnreadWatch adds more events to the watched job than fit into the window.
func overflowUnreadWatch(w *world, a *standalone) error {
	text := make([]byte, 50<<10)
	for range 20 {
		if err := a.client.XAdd(ctx, &goredis.XAddArgs{Stream: w.main.key("argus_completion:" + unreadJob), Values: []any{"status", "running", "text", text}}).Err(); err != nil {
			return err
		}
	}
	if w.unread.since.IsZero() {
		w.unread.since = time.Now()
	}
	return nil
}

// checkUnreadWatchClosed checks that the server has ended the watch with RESOURCE_EXHAUSTED.
func checkUnreadWatchClosed(w *world) error {
	defer w.unread.conn.Close()
	time.Sleep(time.Until(w.unread.since.Add(12 * time.Second))) // the server may take 10 s
	for {
		if _, err := w.unread.stream.Recv(); err != nil {
			if status.Code(err) != codes.ResourceExhausted {
				return fmt.Errorf("want RESOURCE_EXHAUSTED for the unread watch, got %w", err)
			}
			return nil
		}
	}
}
