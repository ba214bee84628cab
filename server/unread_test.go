package server

import (
	"context"
	"errors"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hikmaai-io/argus-queue/server/codec"
)

// A place is given back when gRPC frees an answer's bytes, and also when it forgets to.
func TestPlacesAreGivenBack(t *testing.T) {
	t.Parallel()
	released := make(chan struct{}, 1)
	marshal := func() interface{ Free() } {
		message := wrapperspb.Bytes(make([]byte, smallAnswer+1))
		data, err := releasingCodec{codec.New()}.Marshal(&counted{message, func() { released <- struct{}{} }})
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
		_, info, err := unreadCounts{insecure.NewCredentials()}.ServerHandshake(new(net.TCPConn))
		if err != nil {
			t.Fatal(err)
		}
		ctx := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: info})
		s := &Server{config: Config{SendTimeout: time.Second}}
		mib := wrapperspb.Bytes(make([]byte, 1<<20))
		var places []*counted
		take := func() error {
			message, err := s.toSend(ctx, mib)
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
		if _, err := s.toSend(ctx, wrapperspb.Bytes(nil)); err != nil {
			t.Error("a small answer:", err)
		}
	})
}
