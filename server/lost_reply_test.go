package server_test

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// proxy forwards between the server and Redis. While cut is set it forwards writes, and closes the
// connection instead of forwarding their reply.
type proxy struct {
	addr string
	cut  atomic.Bool
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: listener.Addr().String()}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			store, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			var doomed atomic.Bool // its next reply is not forwarded
			conns.Go(func() {
				forward(client, store, func(b []byte) bool {
					if p.cut.Load() && (bytes.Contains(bytes.ToLower(b), []byte("eval")) || bytes.Contains(b, []byte("xadd"))) {
						doomed.Store(true)
					}
					return true
				})
			})
			conns.Go(func() { forward(store, client, func([]byte) bool { return !doomed.Load() }) })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); conns.Wait() })
	return p
}

// forward copies until either side closes or look returns false; then it closes the target.
func forward(from, to net.Conn, look func([]byte) bool) {
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil || !look(buffer[:n]) {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestLostReplyOfAWrite(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		raw := e.Raw(t)
		p := startProxy(t, e.Addr)
		e.Addr = p.addr
		b := setup(t, e)
		// Load the scripts first, so that a lost reply is not NOSCRIPT.
		if _, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{JobId: "zeroth"}, RequestId: "zeroth"}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.queue.Complete(b.ctx, &argusv1.CompleteRequest{LeaseToken: b.readOne(t).GetLeaseToken(), Status: completed}); err != nil {
			t.Fatal(err)
		}
		b.publish(t, "first")
		d := b.readOne(t)

		p.cut.Store(true)
		_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{JobId: "unsafe"}})
		w := wantError(t, err, codes.Unknown, argusv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN)
		if w.retryable {
			t.Error("a publish without a request_id is retryable, though a retry may publish twice")
		}
		safe := &argusv1.PublishRequest{Task: &argusv1.Task{JobId: "safe"}, RequestId: "r"}
		_, err = b.queue.Publish(b.ctx, safe)
		wantError(t, err, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE)
		complete := &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: completed}
		_, err = b.queue.Complete(b.ctx, complete)
		wantError(t, err, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE)
		p.cut.Store(false)

		again, err := b.queue.Publish(b.ctx, safe)
		// With several shards the lost reply is that of the request id's claim, before the publish.
		if wasPublished := e.Shards < 2; err != nil || again.GetDeduplicated() != wasPublished {
			t.Errorf("the retry with a request_id: %v, %v; want deduplicated: %v", again, err, wasPublished)
		}
		done, err := b.queue.Complete(b.ctx, complete)
		if err != nil || !done.GetAlreadyCompleted() {
			t.Errorf("the retried Complete: %v, %v; want already_completed", done, err)
		}
		jobs := make(map[any]int)
		for _, entry := range raw.XRange(b.ctx, b.key("argus_task_queue"), "-", "+").Val() {
			jobs[entry.Values["job_id"]]++
		}
		if jobs["safe"] != 1 || jobs["unsafe"] != 1 {
			t.Errorf("entries by job: %v, want one each of safe and unsafe", jobs)
		}
		if n := raw.XLen(b.ctx, b.key("argus_completion:first")).Val(); n != 1 {
			t.Errorf("%d results, want 1", n)
		}
	})
}
