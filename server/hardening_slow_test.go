package server_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/server"
)

// deaf is the window of a client that takes no data.
var deaf = http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}

// setupPatient is a server that gives its clients all the time they need, but for what change
// says: on a busy machine an attacker, who answers no pings, would else be cut off for another
// reason than the test's.
func setupPatient(t *testing.T, change func(*server.Config)) *bundle {
	t.Helper()
	return setupServer(t, redistest.Embedded(t), redis.BrokerConfig{}, func(c *server.Config) {
		c.SetPings(time.Hour, time.Hour)
		c.SetRequest(time.Hour)
		c.SetStall(time.Hour)
		c.SendTimeout = time.Hour
		change(c)
	})
}

// Whoever connects and does not speak HTTP/2 is cut off, and its place is free again.
func TestSilentConnections(t *testing.T) {
	t.Parallel()
	openings := []string{"", http2.ClientPreface[:10], http2.ClientPreface, http2.ClientPreface + "\x00\x00\x06\x04\x00", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"}
	b := setupPatient(t, func(c *server.Config) {
		c.SetHandshake(300 * time.Millisecond)
		c.MaxConnections = len(openings)
	})
	var all []net.Conn
	for _, opening := range openings {
		conn := b.dial(t)
		if _, err := io.WriteString(conn, opening); err != nil {
			t.Fatal(err)
		}
		all = append(all, conn)
	}
	for i, conn := range all {
		if _, err := io.Copy(io.Discard, conn); err != nil && !isReset(err) {
			t.Errorf("%q: %v", openings[i], err)
		}
	}
	b.witness(t)()
}

// isReset is true of a connection that the server closed without reading everything.
func isReset(err error) bool { return strings.Contains(err.Error(), "connection reset") }

// After the handshake, a client that stops in the middle of a frame is asked whether it is
// still there, and can't answer.
func TestHalfAFrame(t *testing.T) {
	t.Parallel()
	b := setupPatient(t, func(c *server.Config) { c.SetPings(200*time.Millisecond, 5*time.Second) })
	a := b.attack(t).listen()
	stop := b.witness(t)
	_, err := a.open(publish)
	a.must(0, err)
	a.must(a.conn.Write([]byte{0, 1, 0, 0, 0}))
	a.isCutOff()
	stop()
}

// A connection without a call gives its place to someone who wants it.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	b := setupPatient(t, func(c *server.Config) {
		c.SetIdle(200 * time.Millisecond)
		c.MaxConnections = 2
	})
	var all []*attacker
	for range 2 {
		a := b.attack(t).listen()
		a.awaitCode(a.call(listJobs, &argusv1.ListRequest{}), codes.OK)
		all = append(all, a)
	}
	for _, a := range all {
		ping := [8]byte{1, 6, 1, 8, 0, 3, 3, 9} // whose answer says that the GOAWAY has arrived
		a.await("a friendly end", func(s seen) bool { return s.goAway == "NO_ERROR max_idle" && slices.Contains(s.pings, ping) })
		a.must(0, a.WritePing(true, ping))
	}
	for _, a := range all {
		a.isCutOff()
	}
	b.witness(t)()
}

// A request that does not arrive ends its call, however much of it comes bit by bit.
func TestHalfSentRequests(t *testing.T) {
	t.Parallel()
	const patience = 2 * time.Second
	b := setupPatient(t, func(c *server.Config) { c.SetRequest(patience) })
	stop := b.witness(t)
	// What has arrived is not in a hurry: neither a call that waits, nor a stream that has
	// nothing to say.
	worker := b.consume(t, "w", 1)
	read := make(chan error, 1)
	go func() {
		_, err := b.queue.Read(b.ctx, &argusv1.ReadRequest{Queue: "other", Consumer: "w", Wait: durationpb.New(4 * patience)})
		read <- err
	}()
	a := b.attack(t).listen()
	var streams []uint32
	for _, method := range []string{publish, watch, consume, "/argus.v1.Completion/WatchMany", "/grpc.health.v1.Health/Check"} {
		for _, part := range [][]byte{nil, {0}, framed(0, 0, nil)[:4], framed(0, server.MaxRequest, []byte("x"))} {
			stream, err := a.open(method)
			a.must(0, err)
			a.must(0, a.WriteData(stream, false, part))
			streams = append(streams, stream)
		}
	}
	bits := time.NewTicker(10 * time.Millisecond)
	defer bits.Stop()
	drip := streams[len(streams)-1]
	a.await("the end of all calls", func(s seen) bool {
		select {
		case <-bits.C:
			a.must(0, a.WriteData(drip, false, []byte("x")))
		default:
		}
		return len(s.codes) == len(streams)
	})
	for _, stream := range streams {
		a.awaitCode(stream, codes.DeadlineExceeded)
	}
	if err := <-read; err != nil {
		t.Error("a call whose request had arrived:", err)
	}
	b.publish(t, "job")
	worker.deliveries(1)
	stop()
}

// bigState makes a job whose state is about 3 MiB.
func (b *bundle) bigState(t *testing.T) {
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
const keeps = (server.MaxUnread - (4 << 20)) / (3 << 20)

// A client that asks for much and takes nothing is refused what would be kept for it.
func TestUnreadAnswers(t *testing.T) {
	t.Parallel()
	b := setupPatient(t, func(c *server.Config) { c.SendTimeout = time.Second })
	b.bigState(t)
	stop := b.witness(t)
	a := b.attack(t, deaf).listen()
	var waiting []uint32
	for range keeps {
		stream := a.call(getAll, &argusv1.GetAllRequest{JobId: "big"})
		a.await("the head of an answer", func(s seen) bool { return s.begun[stream] })
		waiting = append(waiting, stream)
	}
	for range 2 {
		a.awaitCode(a.call(getAll, &argusv1.GetAllRequest{JobId: "big"}), codes.ResourceExhausted)
	}
	b.awaitLog(t, `"reason":"SLOW_READER"`)
	// What it gives up, and what it takes after all, makes room.
	a.must(0, a.WriteRSTStream(waiting[0], http2.ErrCodeCancel))
	a.must(0, a.WriteWindowUpdate(0, 1<<30))
	for _, stream := range waiting[1:] {
		a.must(0, a.WriteWindowUpdate(stream, 1<<30))
		a.awaitCode(stream, codes.OK)
	}
	a.must(0, a.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: math.MaxInt32}))
	for range keeps {
		a.awaitCode(a.call(getAll, &argusv1.GetAllRequest{JobId: "big"}), codes.OK)
	}
	stop()
}

// The other streams than Watch; that one is in TestSlowReaderIsCutOff.
func TestStreamsThatAreNotRead(t *testing.T) {
	t.Parallel()
	b := setupPatient(t, func(c *server.Config) { c.SendTimeout = time.Second })
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
	a := b.attack(t, deaf).listen()
	var streams []uint32
	for _, c := range []struct {
		method   string
		requests []proto.Message
	}{{"/argus.v1.Completion/WatchMany", []proto.Message{many}}, {consume, []proto.Message{start, more}}} {
		stream, err := a.open(c.method)
		a.must(0, err)
		for i, r := range c.requests {
			if i > 0 { // else both are answered by one frame, which fits
				a.await("the first frame", func(s seen) bool { return s.begun[stream] })
			}
			data, err := proto.Marshal(r)
			a.must(0, err)
			a.must(0, a.WriteData(stream, false, framed(0, len(data), data)))
		}
		streams = append(streams, stream)
		b.awaitLog(t, `"method":"`+c.method+`","code":"ResourceExhausted"`)
	}
	// Those that read after all get the status behind what was sent before it.
	a.must(0, a.WriteWindowUpdate(0, 1<<30))
	for _, stream := range streams {
		a.must(0, a.WriteWindowUpdate(stream, 1<<30))
		a.awaitCode(stream, codes.ResourceExhausted)
	}
	stop()
}

// jam has the server write more than fits between the two.
func (a *attacker) jam() {
	a.t.Helper()
	a.must(0, a.conn.(*net.TCPConn).SetReadBuffer(4<<10))
	a.must(0, a.WriteWindowUpdate(0, 1<<30))
	for range keeps {
		a.call(getAll, &argusv1.GetAllRequest{JobId: "big"})
	}
}

var open = http2.Setting{ID: http2.SettingInitialWindowSize, Val: math.MaxInt32}

// A client that does not read from its socket, and goes on to ask for answers.
func TestConnectionThatIsNotRead(t *testing.T) {
	t.Parallel()
	b := setupPatient(t, func(c *server.Config) { c.SetStall(time.Second) })
	b.bigState(t)
	stop := b.witness(t)
	a := b.attack(t, open)
	a.jam()
	var err error
	for sent := 0; err == nil; sent += 9 {
		if err = a.WriteSettings(); sent > 64<<20 {
			t.Fatal("the server took 64 MiB of settings that it could not acknowledge")
		}
	}
	if !isReset(err) && !strings.Contains(err.Error(), "broken pipe") {
		t.Error(err)
	}
	stop()
}

// A connection without a handshake does not keep the others from a shutdown in order.
func TestShutdownAmongSilentConnections(t *testing.T) {
	t.Parallel()
	b := setupPatient(t, func(c *server.Config) { c.SetHandshake(time.Hour) })
	silent := b.dial(t)
	b.witness(t)()
	b.shutdown() // which must not take all its time
	if _, err := io.Copy(io.Discard, silent); err != nil && !isReset(err) {
		t.Error(err)
	}
}

// The shutdown waits for nobody beyond its deadline.
func TestShutdownAmongHostileClients(t *testing.T) {
	t.Parallel()
	b := setupPatient(t, func(*server.Config) {})
	b.bigState(t)
	b.attack(t, open).jam()
	a := b.attack(t, deaf).listen()
	_, err := a.open(publish)
	a.must(0, err)
	a.call(watch, &argusv1.WatchRequest{JobId: "big", IncludeState: true})
	b.witness(t)()
	ctx, cancel := context.WithTimeout(b.ctx, 500*time.Millisecond)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.server.Shutdown(ctx)
	}()
	select {
	case <-done:
	case <-b.ctx.Done():
		t.Fatal("the shutdown did not end")
	}
	a.isCutOff()
}

// A client that comes while all places are taken is refused at once, in words, and not held up;
// it is served as soon as one is free.
func TestMaxConnections(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*server.Config){
		"in all":           func(c *server.Config) { c.MaxConnections = 2 },
		"from one address": func(c *server.Config) { c.MaxConnectionsPerPeer = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupPatient(t, change)
			list := &argusv1.ListRequest{}
			first, second := b.attack(t).listen(), b.attack(t).listen()
			second.awaitCode(second.call(listJobs, list), codes.OK)
			_, err := b.state.List(b.ctx, list)
			if told := expect(t, err, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_SERVER_BUSY); !told.retryable {
				t.Error("not retryable")
			}
			for range 50 { // those that have a place are served
				first.awaitCode(first.call(listJobs, list), codes.OK)
			}
			_ = second.conn.Close()
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for err != nil {
				<-tick.C
				_, err = b.state.List(b.ctx, list)
				if code := status.Code(err); code != codes.OK && code != codes.ResourceExhausted && code != codes.Unavailable {
					t.Fatal(err)
				}
			}
		})
	}
}

// More calls than the server may have are refused, and those that are over make room.
func TestMaxCalls(t *testing.T) {
	t.Parallel()
	b := setupPatient(t, func(c *server.Config) { c.MaxCalls = 3 })
	a := b.attack(t).listen()
	stream, err := a.open(publish) // and no request
	a.must(0, err)
	waiting := a.call(watch, &argusv1.WatchRequest{JobId: "job"})
	a.await("the snapshot", func(s seen) bool { return s.data[waiting] > 0 })
	for range 20 {
		a.awaitCode(a.call(listJobs, &argusv1.ListRequest{}), codes.OK)
	}
	last := a.call(watch, &argusv1.WatchRequest{JobId: "job"})
	a.await("the snapshot", func(s seen) bool { return s.data[last] > 0 })
	_, err = b.state.List(b.ctx, &argusv1.ListRequest{})
	if told := expect(t, err, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_SERVER_BUSY); !told.retryable {
		t.Error("not retryable")
	}
	a.must(0, a.WriteRSTStream(stream, http2.ErrCodeCancel))
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for err != nil {
		<-tick.C
		_, err = b.state.List(b.ctx, &argusv1.ListRequest{})
		if code := status.Code(err); code != codes.OK && code != codes.ResourceExhausted {
			t.Fatal(err)
		}
	}
}

// granted are the streams that may send a request of a size.
func (a *attacker) granted(size int) (streams []uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for stream, n := range a.seen.windows {
		if stream != 0 && n >= size {
			streams = append(streams, stream)
		}
	}
	return streams
}

// A client that begins many large requests may go on with a few of them, and with the next as
// soon as one has arrived or is given up. However many clients do so, the server has a bound.
func TestHalfSentLargeRequests(t *testing.T) {
	t.Parallel()
	const size = server.MaxRequest - 1<<10
	message := make([]byte, size) // which is no protobuf
	half := func(a *attacker) uint32 {
		stream, err := a.open(publish)
		a.must(0, err)
		a.must(0, a.WriteData(stream, false, framed(0, size, message[:1<<10])))
		return stream
	}
	begin := func(a *attacker) {
		for range 100 {
			half(a)
		}
	}
	awaitGrants := func(t *testing.T, want int, all ...*attacker) (granted []uint32) {
		t.Helper()
		for {
			n := 0
			all[0].mu.Lock()
			fresh := all[0].fresh
			all[0].mu.Unlock()
			for _, a := range all {
				granted = a.granted(size)
				n += len(granted)
			}
			switch {
			case n > want:
				t.Fatalf("%d large requests may be sent, want %d", n, want)
			case n == want:
				return granted
			}
			select {
			case <-fresh:
			case <-time.After(10 * time.Millisecond): // another one's
			case <-all[0].b.ctx.Done():
				t.Fatalf("%d large requests may be sent, want %d", n, want)
			}
		}
	}
	t.Run("on a connection", func(t *testing.T) {
		t.Parallel()
		b := setup(t, redistest.Embedded(t))
		stop := b.witness(t)
		a := b.attack(t).listen()
		begin(a)
		const atOnce = server.MaxUnfinished / size
		granted := awaitGrants(t, atOnce, a)
		a.must(0, a.WriteRSTStream(granted[0], http2.ErrCodeCancel))
		awaitGrants(t, atOnce+1, a)
		for rest := message[1<<10:]; len(rest) > 0; { // as much as the connection's window allows
			n := min(len(rest), 16<<10)
			a.must(0, a.WriteData(granted[1], n == len(rest), rest[:n]))
			rest = rest[n:]
		}
		a.awaitCode(granted[1], codes.Internal) // it has arrived
		awaitGrants(t, atOnce+2, a)
		stop()
	})
	t.Run("on all", func(t *testing.T) {
		t.Parallel()
		b := setupPatient(t, func(c *server.Config) { c.MaxRequestBytes = 3 * server.MaxRequest })
		stop := b.witness(t)
		first, second := b.attack(t).listen(), b.attack(t).listen()
		begin(first)
		awaitGrants(t, server.MaxUnfinished/size, first) // as many as one connection may have
		begin(second)
		awaitGrants(t, 3-server.MaxUnfinished/size, second) // as many as are left
		_ = first.conn.Close()                              // what it had is free
		awaitGrants(t, server.MaxUnfinished/size, second)
		stop()
	})
	t.Run("without leave", func(t *testing.T) {
		t.Parallel()
		b := setupPatient(t, func(c *server.Config) { c.MaxRequestBytes = 1 << 20 })
		stop := b.witness(t)
		a := b.attack(t).listen()
		stream := half(a)
		for range 50 { // meanwhile the server has read the head
			a.awaitCode(a.call(listJobs, &argusv1.ListRequest{}), codes.OK)
		}
		var err error
		for sent := 0; err == nil && sent < 4*server.StreamWindow; sent += 16 << 10 {
			err = a.WriteData(stream, false, message[:16<<10])
		}
		// gRPC resets a stream whose head it had not read yet.
		a.await("the end", func(s seen) bool { return s.ended != nil || s.resets[stream] == http2.ErrCodeFlowControl })
		stop()
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
	const calls, atOnce = 100, server.MaxUnread / (4 << 20)
	states := building{begun: make(chan struct{}, calls), proceed: make(chan struct{})}
	b := setupPatient(t, func(c *server.Config) { states.Broker, c.Broker = c.Broker, &states })
	b.bigState(t)
	stop := b.witness(t)
	a := b.attack(t, open).listen()
	a.must(0, a.WriteWindowUpdate(0, 1<<30))
	var streams []uint32
	for range calls {
		streams = append(streams, a.call(getAll, &argusv1.GetAllRequest{JobId: "big"}))
	}
	for range atOnce {
		<-states.begun
	}
	a.must(0, a.WritePing(false, [8]byte{}))
	a.await("the answer to a ping", func(s seen) bool { return s.pongs > 0 }) // so all calls have begun
	if n := len(states.begun); n > 0 {
		t.Errorf("%d answers more than there is room for are built", n)
	}
	close(states.proceed)
	for _, stream := range streams {
		a.awaitCode(stream, codes.OK)
	}
	stop()
}
