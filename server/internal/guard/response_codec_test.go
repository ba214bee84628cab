package guard

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"google.golang.org/grpc/encoding"
	standard "google.golang.org/grpc/encoding/proto"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func testCodec() responseCodec { return responseCodec{encoding.GetCodecV2(standard.Name)} }

// A reservation is returned when gRPC frees the response's buffers, and also when gRPC drops them.
func TestReservationIsReturnedWithTheBuffers(t *testing.T) {
	t.Parallel()
	released := make(chan struct{}, 1)
	marshal := func() interface{ Free() } {
		message := wrapperspb.Bytes(make([]byte, smallResponse+1))
		data, err := testCodec().Marshal(&reservedResponse{message, func() {}, func() { released <- struct{}{} }})
		if err != nil || data.Len() <= smallResponse {
			t.Fatal(data.Len(), err)
		}
		return data
	}
	data := marshal()
	select {
	case <-released:
		t.Fatal("the reservation was returned before the buffers were freed")
	default:
	}
	data.Free()
	select {
	case <-released:
	default:
		t.Fatal("the reservation was not returned when the buffers were freed")
	}
	marshal() // and drop the buffers
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
			t.Fatal("the reservation was not returned when the buffers were collected")
		}
	}
}

// A large response is sent in chunks, and each is counted when it is sent: a client that reads a
// large response slowly makes progress.
func TestChunksAreCounted(t *testing.T) {
	t.Parallel()
	for _, size := range []int{smallResponse + 1, chunkSize, 2*chunkSize - 1, 2 * chunkSize, 3<<20 + 1} {
		sent, released := 0, 0
		text := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		message := wrapperspb.Bytes(text)
		data, err := testCodec().Marshal(&reservedResponse{message, func() { sent++ }, func() { released++ }})
		if err != nil {
			t.Fatal(err)
		}
		whole, _ := proto.Marshal(message)
		if !bytes.Equal(data.Materialize(), whole) || len(data) > 1 && len(data) != len(whole)/chunkSize {
			t.Errorf("%d bytes in %d chunks, want the %d bytes of the message in %d", data.Len(), len(data), len(whole), len(whole)/chunkSize)
		}
		for i, chunk := range data {
			if released > 0 {
				t.Errorf("the reservation was returned after %d of %d chunks", i, len(data))
			}
			if chunk.Free(); sent != i+1 {
				t.Errorf("%d chunks were counted, want %d", sent, i+1)
			}
		}
		if released != 1 {
			t.Errorf("the reservation was returned %d times, want once", released)
		}
	}
}
