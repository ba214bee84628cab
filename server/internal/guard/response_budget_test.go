package guard

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A large response waits for room in its connection's budget, and gets it as soon as the client
// has read others.
func TestLargeResponsesWaitForRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, info, err := budgetCredentials{insecure.NewCredentials(), semaphore.NewWeighted(1)}.ServerHandshake(new(net.TCPConn))
		if err != nil {
			t.Fatal(err)
		}
		ctx := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: info})
		g := New(Config{Timeouts: Timeouts{Send: time.Second}})
		mib := wrapperspb.Bytes(make([]byte, 1<<20))
		var reserved []*reservedResponse
		prepare := func() error {
			r, _ := g.reserveFor(ctx, "/of/a/large/message")
			message, err := g.prepare(ctx, mib, r, nil)
			if err == nil {
				reserved = append(reserved, message.(*reservedResponse))
			}
			return err
		}
		for err == nil {
			err = prepare()
		}
		if want := MaxUnreadBytes>>20 - 1; !errors.Is(err, ErrSlowReader) || len(reserved) != want { // a MiB and its header each
			t.Fatalf("%d responses had room, then %v; want %d and ErrSlowReader", len(reserved), err, want)
		}
		result := make(chan error, 1)
		go func() { result <- prepare() }()
		synctest.Wait()
		reserved[0].release()
		if err := <-result; err != nil {
			t.Errorf("after another response was read: %v, want no error", err)
		}
		left, leave := context.WithCancel(ctx)
		ctx = left
		go func() { result <- prepare() }()
		synctest.Wait()
		leave()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("after the caller left: %v, want %v", err, context.Canceled)
		}
		if _, err := g.prepare(ctx, wrapperspb.Bytes(nil), reservation{}, nil); err != nil {
			t.Errorf("a small response: %v, want no error", err)
		}
	})
}
