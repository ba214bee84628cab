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
	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/server"
	"github.com/hikmaai-io/argus-queue/server/internal/guard"
)

// deaf is the window of a client that takes no data.
var deaf = http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}

// writeLargeState makes a job whose state is about 3 MiB.
func (b *bundle) writeLargeState(t *testing.T) {
	t.Helper()
	value := strings.Repeat("x", 1<<20-10) // with the names, as much as a state may have
	for _, field := range []string{"a", "b", "c"} {
		if _, err := b.state.SetField(b.ctx, &argusv1.SetFieldRequest{JobId: "big", Field: field, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
}

// keeps is how many states of 3 MiB a server keeps for a connection that does not take them: for
// the last one it needs room for the largest answer.
const keeps = (guard.MaxUnreadBytes - (4 << 20)) / (3 << 20)

// A client that asks for much and takes nothing is refused what would be kept for it.
func TestUnreadAnswers(t *testing.T) {
	t.Parallel()
	b := setupWithoutTimeouts(t, func(c *server.Config) { c.SendTimeout = time.Second })
	b.writeLargeState(t)
	stop := b.witness(t)
	raw := b.dialRaw(t, deaf).readFrames()
	var waiting []uint32
	for range keeps {
		stream := raw.call(getAll, &argusv1.GetAllRequest{JobId: "big"})
		raw.await("the head of an answer", func(s seen) bool { return s.begun[stream] })
		waiting = append(waiting, stream)
	}
	for range 2 {
		raw.awaitCode(raw.call(getAll, &argusv1.GetAllRequest{JobId: "big"}), codes.ResourceExhausted)
	}
	b.awaitLog(t, `"reason":"SLOW_READER"`)
	// What it gives up, and what it takes after all, makes room.
	raw.must(0, raw.WriteRSTStream(waiting[0], http2.ErrCodeCancel))
	raw.must(0, raw.WriteWindowUpdate(0, 1<<30))
	for _, stream := range waiting[1:] {
		raw.must(0, raw.WriteWindowUpdate(stream, 1<<30))
		raw.awaitCode(stream, codes.OK)
	}
	raw.must(0, raw.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: math.MaxInt32}))
	for range keeps {
		raw.awaitCode(raw.call(getAll, &argusv1.GetAllRequest{JobId: "big"}), codes.OK)
	}
	stop()
}

// The other streams than Watch; that one is in TestSlowReaderIsCutOff.
func TestStreamsThatAreNotRead(t *testing.T) {
	t.Parallel()
	b := setupWithoutTimeouts(t, func(c *server.Config) { c.SendTimeout = time.Second })
	half := strings.Repeat("x", 1<<19)
	for i := range 4 {
		job := fmt.Sprint("job-", i)
		if _, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{JobId: job, Attributes: map[string]string{"x": half}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.done.Publish(b.ctx, &argusv1.CompletionPublishRequest{JobId: job, Status: completed, Fields: map[string]string{"x": half}}); err != nil {
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
	raw := b.dialRaw(t, deaf).readFrames()
	var streams []uint32
	for _, c := range []struct {
		method   string
		requests []proto.Message
	}{{"/argus.v1.Completion/WatchMany", []proto.Message{many}}, {consume, []proto.Message{start, more}}} {
		stream, err := raw.open(c.method)
		raw.must(0, err)
		for i, r := range c.requests {
			if i > 0 { // else both are answered by one frame, which fits
				raw.await("the first frame", func(s seen) bool { return s.begun[stream] })
			}
			data, err := proto.Marshal(r)
			raw.must(0, err)
			raw.must(0, raw.WriteData(stream, false, framed(0, len(data), data)))
		}
		streams = append(streams, stream)
		b.awaitLog(t, `"method":"`+c.method+`","code":"ResourceExhausted"`)
	}
	// Those that read after all get the status behind what was sent before it.
	raw.must(0, raw.WriteWindowUpdate(0, 1<<30))
	for _, stream := range streams {
		raw.must(0, raw.WriteWindowUpdate(stream, 1<<30))
		raw.awaitCode(stream, codes.ResourceExhausted)
	}
	stop()
}

func TestSlowReaderIsCutOff(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setupServer(t, e, redis.BrokerConfig{}, func(c *server.Config) { c.SendTimeout = 2 * time.Second })
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
		for range 9 { // the snapshot and all events: the other is not held up
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

// building is a store whose states are read only when the test says so.
type building struct {
	server.Broker
	begun, proceed chan struct{}
}

func (b building) State(ctx context.Context, job string, names []string) (redis.JobState, error) {
	b.begun <- struct{}{}
	<-b.proceed
	return b.Broker.State(ctx, job, names)
}

// Answers that a client asks for all at once are built only as they have room.
func TestLargeAnswersAreNotBuiltAllAtOnce(t *testing.T) {
	t.Parallel()
	const calls, atOnce = 100, guard.MaxUnreadBytes / (4 << 20)
	states := building{begun: make(chan struct{}, calls), proceed: make(chan struct{})}
	b := setupWithoutTimeouts(t, func(c *server.Config) { states.Broker, c.Broker = c.Broker, &states })
	b.writeLargeState(t)
	stop := b.witness(t)
	raw := b.dialRaw(t, open).readFrames()
	raw.must(0, raw.WriteWindowUpdate(0, 1<<30))
	var streams []uint32
	for range calls {
		streams = append(streams, raw.call(getAll, &argusv1.GetAllRequest{JobId: "big"}))
	}
	for range atOnce {
		<-states.begun
	}
	raw.must(0, raw.WritePing(false, [8]byte{}))
	raw.await("the answer to a ping", func(s seen) bool { return s.pongs > 0 }) // so all calls have begun
	if n := len(states.begun); n > 0 {
		t.Errorf("%d answers more than there is room for are built", n)
	}
	close(states.proceed)
	for _, stream := range streams {
		raw.awaitCode(stream, codes.OK)
	}
	stop()
}
