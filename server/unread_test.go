package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hikmaai-io/argus-queue/server/codec"
)

// A place is given back when gRPC frees an answer's bytes, and also when it forgets to.
func TestPlacesAreGivenBack(t *testing.T) {
	t.Parallel()
	released := make(chan struct{}, 1)
	marshal := func() interface{ Free() } {
		message := wrapperspb.Bytes(make([]byte, smallAnswer+1))
		data, err := releasingCodec{codec.New()}.Marshal(&counted{message, func() {}, func() { released <- struct{}{} }})
		if err != nil || data.Len() <= smallAnswer {
			t.Fatal(data.Len(), err)
		}
		return data
	}
	data := marshal()
	select {
	case <-released:
		t.Fatal("given back before the bytes were freed")
	default:
	}
	data.Free()
	select {
	case <-released:
	default:
		t.Fatal("not given back")
	}
	marshal() // and forgotten
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		runtime.GC()
		select {
		case <-released:
			return
		case <-tick.C:
		case <-deadline:
			t.Fatal("not given back by the collector")
		}
	}
}

// A large answer waits for its place, and gets it as soon as the client has taken others.
func TestLargeAnswersTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, info, err := unreadCounts{insecure.NewCredentials(), semaphore.NewWeighted(1)}.ServerHandshake(new(net.TCPConn))
		if err != nil {
			t.Fatal(err)
		}
		ctx := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: info})
		s := &Server{config: Config{SendTimeout: time.Second}}
		mib := wrapperspb.Bytes(make([]byte, 1<<20))
		var places []*counted
		take := func() error {
			place, _ := s.placeFor(ctx, "/of/a/large/message")
			message, err := s.toSend(ctx, mib, place, nil)
			if err == nil {
				places = append(places, message.(*counted))
			}
			return err
		}
		for err == nil {
			err = take()
		}
		if !errors.Is(err, errSlowReader) || len(places) != maxUnread>>20-1 { // a MiB, and its head
			t.Fatal(len(places), err)
		}
		taken := make(chan error, 1)
		go func() { taken <- take() }()
		synctest.Wait()
		places[0].release()
		if err := <-taken; err != nil {
			t.Error("with a place that is free:", err)
		}
		left, leave := context.WithCancel(ctx)
		ctx = left
		go func() { taken <- take() }()
		synctest.Wait()
		leave()
		if err := <-taken; !errors.Is(err, context.Canceled) {
			t.Error("of a caller that left:", err)
		}
		if _, err := s.toSend(ctx, wrapperspb.Bytes(nil), place{}, nil); err != nil {
			t.Error("a small answer:", err)
		}
	})
}

// A large answer is sent in pieces, and each is counted when it is taken, so that who takes a
// large answer slowly is known to take it.
func TestPiecesAreCounted(t *testing.T) {
	t.Parallel()
	for _, size := range []int{smallAnswer + 1, pieceSize, 2*pieceSize - 1, 2 * pieceSize, 3<<20 + 1} {
		moved, released := 0, 0
		text := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		message := wrapperspb.Bytes(text)
		data, err := releasingCodec{codec.New()}.Marshal(&counted{message, func() { moved++ }, func() { released++ }})
		if err != nil {
			t.Fatal(err)
		}
		whole, _ := proto.Marshal(message)
		if !bytes.Equal(data.Materialize(), whole) || len(data) > 1 && len(data) != len(whole)/pieceSize {
			t.Errorf("%d bytes are not what they were, in %d pieces", data.Len(), len(data))
		}
		for i, piece := range data {
			if released > 0 {
				t.Error("given back before all was taken")
			}
			if piece.Free(); moved != i+1 {
				t.Errorf("%d pieces of %d were counted", moved, i+1)
			}
		}
		if released != 1 {
			t.Error("given back", released, "times")
		}
	}
}

// A client that takes something now and then is waited for; one that takes nothing is not, nor one
// that leaves.
func TestWhileMoving(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const timeout = 8 * time.Second
		var moved atomic.Int64
		done := make(chan error, 1)
		go func() {
			for range 100 {
				time.Sleep(timeout - time.Second) // the bubble's clock
				moved.Add(1)
			}
			done <- io.EOF
		}()
		if err := whileMoving(t.Context(), done, &moved, timeout); err != io.EOF {
			t.Error("of a slow reader:", err)
		}
		start := time.Now()
		if err := whileMoving(t.Context(), done, &moved, timeout); err != errSlowReader || time.Since(start) != timeout {
			t.Error("of one that takes nothing:", err, time.Since(start))
		}
		gone, leave := context.WithCancelCause(t.Context())
		leave(errShuttingDown)
		if err := whileMoving(gone, done, &moved, timeout); err != errShuttingDown {
			t.Error("of one that leaves:", err)
		}
	})
}
