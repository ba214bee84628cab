package server_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/state"
	"github.com/hikmaai-io/argus-queue/server"
	"github.com/hikmaai-io/argus-queue/server/internal/guard"
)

// noWindow is the setting of a client that accepts no data.
var noWindow = http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}

// writeLargeState creates a state of about 3 MiB, of the job big.
func (b *bundle) writeLargeState(t *testing.T) {
	t.Helper()
	value := strings.Repeat("x", 1<<20-10) // with the names, the maximum
	for _, field := range []string{"a", "b", "c"} {
		if _, err := b.state.SetField(b.ctx, &argusv1.SetFieldRequest{JobId: "big", Field: field, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
}

// unreadStates is how many responses of 3 MiB a connection may leave unread: the call of the last
// one reserves room for the largest response.
const unreadStates = (guard.MaxUnreadBytes - (4 << 20)) / (3 << 20)

// A client that reads nothing is refused further responses. Those that it resets or reads make room.
func TestUnreadResponses(t *testing.T) {
	t.Parallel()
	b := setupWithoutTimeouts(t, func(c *server.Config) { c.SendTimeout = time.Second })
	b.writeLargeState(t)
	stop := b.witness(t)
	raw := b.dialRaw(t, noWindow).readFrames()
	var waiting []uint32
	for range unreadStates {
		stream := raw.call(getAll, &argusv1.GetAllRequest{JobId: "big"})
		raw.await("the headers of a response", func(s seen) bool { return s.begun[stream] })
		waiting = append(waiting, stream)
	}
	for range 2 {
		raw.awaitCode(raw.call(getAll, &argusv1.GetAllRequest{JobId: "big"}), codes.ResourceExhausted)
	}
	b.awaitLog(t, `"reason":"SLOW_READER"`)
	raw.must(0, raw.WriteRSTStream(waiting[0], http2.ErrCodeCancel))
	raw.must(0, raw.WriteWindowUpdate(0, 1<<30))
	for _, stream := range waiting[1:] {
		raw.must(0, raw.WriteWindowUpdate(stream, 1<<30))
		raw.awaitCode(stream, codes.OK)
	}
	raw.must(0, raw.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: math.MaxInt32}))
	for range unreadStates {
		raw.awaitCode(raw.call(getAll, &argusv1.GetAllRequest{JobId: "big"}), codes.OK)
	}
	stop()
}

// Streams that are not read end: Consume and WatchMany here, Watch in TestSlowReaderIsDisconnected.
func TestStreamsThatAreNotRead(t *testing.T) {
	t.Parallel()
	b := setupWithoutTimeouts(t, func(c *server.Config) { c.SendTimeout = time.Second })
	half := strings.Repeat("x", 1<<19)
	for i := range 4 {
		id := fmt.Sprint("job-", i)
		if _, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{JobId: id, Attributes: map[string]string{"x": half}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.done.Publish(b.ctx, &argusv1.CompletionPublishRequest{JobId: id, Status: completed, Fields: map[string]string{"x": half}}); err != nil {
			t.Fatal(err)
		}
	}
	stop := b.witness(t)
	many := add()
	for i := range 4 {
		many.Add = append(many.Add, &argusv1.WatchJob{JobId: fmt.Sprint("job-", i)})
	}
	start := &argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Start{Start: &argusv1.ConsumeStart{Consumer: "w", MaxOutstanding: 1}}}
	more := &argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_SetMaxOutstanding{SetMaxOutstanding: 8}}
	raw := b.dialRaw(t, noWindow).readFrames()
	var streams []uint32
	for _, c := range []struct {
		method   string
		requests []proto.Message
	}{{"/argus.v1.Completion/WatchMany", []proto.Message{many}}, {consume, []proto.Message{start, more}}} {
		stream, err := raw.open(c.method)
		raw.must(0, err)
		for i, r := range c.requests {
			if i > 0 { // otherwise one frame answers both, and fits
				raw.await("the first frame", func(s seen) bool { return s.begun[stream] })
			}
			data, err := proto.Marshal(r)
			raw.must(0, err)
			raw.must(0, raw.WriteData(stream, false, framed(0, len(data), data)))
		}
		streams = append(streams, stream)
		b.awaitLog(t, `"method":"`+c.method+`","code":"ResourceExhausted"`)
	}
	// A client that reads later gets what was sent before the status, and then the status.
	raw.must(0, raw.WriteWindowUpdate(0, 1<<30))
	for _, stream := range streams {
		raw.must(0, raw.WriteWindowUpdate(stream, 1<<30))
		raw.awaitCode(stream, codes.ResourceExhausted)
	}
	stop()
}

func TestSlowReaderIsDisconnected(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setupServer(t, e, job.Settings{}, func(c *server.Config) { c.SendTimeout = 2 * time.Second })
		half := strings.Repeat("x", 1<<19)
		for range 8 {
			if err := b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key("argus_completion:job"), Values: []any{"status", "running", "x", half}}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		slow, err := b.done.Watch(b.ctx, &argusv1.WatchRequest{JobId: "job"})
		if err != nil {
			t.Fatal(err)
		}
		other, err := b.done.Watch(b.ctx, &argusv1.WatchRequest{JobId: "job"})
		if err != nil {
			t.Fatal(err)
		}
		for range 9 { // the snapshot and all events: a slow reader does not delay others
			if _, err := other.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		b.awaitLog(t, `"reason":"SLOW_READER"`)
		frames := 0
		for err == nil {
			if _, err = slow.Recv(); err == nil {
				frames++
			}
		}
		if w := wantError(t, err, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_SLOW_READER); !w.retryable || frames > 8 {
			t.Error(w, frames)
		}
	})
}

// blockedStates is a store that blocks the reads of states until the test lets them proceed.
type blockedStates struct {
	server.Broker
	begun, proceed chan struct{}
}

func (b blockedStates) State(ctx context.Context, id string, names []string) (state.State, error) {
	b.begun <- struct{}{}
	<-b.proceed
	return b.Broker.State(ctx, id, names)
}

// Of many concurrent calls with large responses, only as many run as have room for them.
func TestLargeResponsesAreBuiltWithinTheBudget(t *testing.T) {
	t.Parallel()
	const calls, concurrent = 100, guard.MaxUnreadBytes / (4 << 20)
	states := blockedStates{begun: make(chan struct{}, calls), proceed: make(chan struct{})}
	b := setupWithoutTimeouts(t, func(c *server.Config) { states.Broker, c.Broker = c.Broker, &states })
	b.writeLargeState(t)
	stop := b.witness(t)
	raw := b.dialRaw(t, open).readFrames()
	raw.must(0, raw.WriteWindowUpdate(0, 1<<30))
	var streams []uint32
	for range calls {
		streams = append(streams, raw.call(getAll, &argusv1.GetAllRequest{JobId: "big"}))
	}
	for range concurrent {
		<-states.begun
	}
	raw.must(0, raw.WritePing(false, [8]byte{}))
	raw.await("the answer to a ping", func(s seen) bool { return s.pongs > 0 }) // so all calls have started
	if n := len(states.begun); n > 0 {
		t.Errorf("%d responses are built beyond the budget", n)
	}
	close(states.proceed)
	for _, stream := range streams {
		raw.awaitCode(stream, codes.OK)
	}
	stop()
}
