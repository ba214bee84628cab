package server

import (
	"runtime"
	"testing"
	"time"

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
