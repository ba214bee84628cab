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

// proxy stands between the server and Redis. When cut is set it passes writes on, and
// breaks the connection instead of passing their answer back.
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
			var doomed atomic.Bool // its next answer is not passed back
			conns.Go(func() {
				pass(client, store, func(b []byte) bool {
					if p.cut.Load() && (bytes.Contains(bytes.ToLower(b), []byte("eval")) || bytes.Contains(b, []byte("xadd"))) {
						doomed.Store(true)
					}
					return true
				})
			})
			conns.Go(func() { pass(store, client, func([]byte) bool { return !doomed.Load() }) })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); conns.Wait() })
	return p
}

// pass copies until either side ends or look says no; then it closes the target.
func pass(from, to net.Conn, look func([]byte) bool) {
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
		// From here on Redis knows the scripts: an answer that is lost is not NOSCRIPT.
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
			t.Error("told to retry what is not safe to retry")
		}
		safe := &argusv1.PublishRequest{Task: &argusv1.Task{JobId: "safe"}, RequestId: "r"}
		_, err = b.queue.Publish(b.ctx, safe)
		wantError(t, err, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE)
		complete := &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: completed}
		_, err = b.queue.Complete(b.ctx, complete)
		wantError(t, err, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE)
		p.cut.Store(false)

		again, err := b.queue.Publish(b.ctx, safe)
		// With shards it was the answer to the claim of its request id that got lost.
		if wasPublished := e.Shards == 0; err != nil || again.GetDeduplicated() != wasPublished {
			t.Error("the safe repetition:", again, err)
		}
		done, err := b.queue.Complete(b.ctx, complete)
		if err != nil || !done.GetAlreadyCompleted() {
			t.Error("the repeated Complete:", done, err)
		}
		jobs := make(map[any]int)
		for _, entry := range raw.XRange(b.ctx, b.key("argus_task_queue"), "-", "+").Val() {
			jobs[entry.Values["job_id"]]++
		}
		if jobs["safe"] != 1 || jobs["unsafe"] != 1 {
			t.Error("entries:", jobs)
		}
		if n := raw.XLen(b.ctx, b.key("argus_completion:first")).Val(); n != 1 {
			t.Error(n, "results")
		}
	})
}
