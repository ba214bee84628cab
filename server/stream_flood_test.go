package server_test

import (
	"context"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/server"
	"github.com/hikmaai-io/argus-queue/server/internal/guard"
)

func TestStreamFlood(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	stop := b.witness(t)
	raw := b.dialRaw(t).readFrames()
	const tooMany = 500
	for range guard.MaxStreams + tooMany {
		_, err := raw.open(publish) // and no request
		raw.must(0, err)
	}
	raw.await("refusals", func(s seen) bool { return len(s.resets) == tooMany })
	stop()
	for stream, code := range raw.seen.resets {
		if code != http2.ErrCodeRefusedStream || stream <= 2*guard.MaxStreams {
			t.Errorf("stream %d was reset with %v, want only streams above the limit refused", stream, code)
		}
	}
	if limit := raw.seen.settings[http2.SettingMaxConcurrentStreams]; limit != guard.MaxStreams {
		t.Errorf("SETTINGS allow %d streams, want %d", limit, guard.MaxStreams)
	}
}

// blockedCalls counts the concurrent calls of a method, and lets none of them end.
type blockedCalls struct {
	stats.Handler
	method      string
	end         chan struct{}
	enough      int // calls, until full is closed
	full        chan struct{}
	mu          sync.Mutex
	running     int
	most, total int
}

func (s *blockedCalls) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (s *blockedCalls) HandleConn(context.Context, stats.ConnStats) {}

type methodKey struct{}

func (s *blockedCalls) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, methodKey{}, info.FullMethodName)
}

func (s *blockedCalls) HandleRPC(ctx context.Context, event stats.RPCStats) {
	if ctx.Value(methodKey{}) != s.method {
		return
	}
	switch event.(type) {
	case *stats.Begin:
		s.add(1)
		<-s.end
	case *stats.End:
		s.add(-1)
	}
}

func (s *blockedCalls) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running += n
	if n > 0 {
		s.most = max(s.most, s.running)
		if s.total++; s.total == s.enough {
			close(s.full)
		}
	}
}

// CVE-2023-44487: a stream that is reset no longer counts towards the limit, but its handler may
// still run when the next one begins.
func TestRapidResets(t *testing.T) {
	t.Parallel()
	calls := &blockedCalls{method: getField, end: make(chan struct{}), full: make(chan struct{}), enough: guard.MaxStreams}
	b := setupServer(t, redistest.Embedded(t), job.Settings{}, func(c *server.Config) { c.SetStats(calls) })
	raw := b.dialRaw(t).readFrames()
	const all = 3 * guard.MaxStreams
	flooded := make(chan error, 1)
	go func() {
		for range all {
			stream, err := raw.open("/argus.v1.JobState/GetField")
			if err == nil {
				err = raw.WriteRSTStream(stream, http2.ErrCodeCancel)
			}
			if err != nil {
				flooded <- err
				return
			}
		}
		flooded <- nil
	}()
	select {
	case <-calls.full:
	case <-b.ctx.Done():
		t.Fatal("the handlers did not begin")
	}
	// Calls of another client begin while the handlers of this one are blocked.
	for range 20 {
		if _, err := b.state.SetField(b.ctx, &argusv1.SetFieldRequest{JobId: "job", Field: "f", Value: "v"}); err != nil {
			t.Error(err)
		}
	}
	close(calls.end)
	if err := <-flooded; err != nil {
		t.Error(err)
	}
	stop := b.witness(t)
	stream, err := raw.open(listJobs) // whose answer comes after the flood
	raw.must(0, err)
	raw.must(0, raw.WriteData(stream, true, framed(0, 0, nil)))
	raw.awaitCode(stream, codes.OK)
	stop()
	calls.mu.Lock()
	defer calls.mu.Unlock()
	if calls.most > guard.MaxStreams {
		t.Errorf("%d handlers ran concurrently, want at most %d", calls.most, guard.MaxStreams)
	}
}
