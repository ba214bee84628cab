package watch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// polled is a polling, and what Redis answers to XREAD.
type polled struct {
	*polling
	mu     sync.Mutex
	news   map[string]string // key → the data of an entry after every position
	err    error
	chunks []int // how many streams each XREAD had
}

func newPolled(b *bundle) *polled {
	p := &polled{news: make(map[string]string)}
	p.polling = &polling{log: b.log, waiters: b.waiters, subscriptions: b.subscriptions, states: b.schedule, active: b.active, xread: p.read}
	return p
}

func (p *polled) read(_ context.Context, args *goredis.XReadArgs) *goredis.XStreamSliceCmd {
	p.mu.Lock()
	defer p.mu.Unlock()
	keys := args.Streams[:len(args.Streams)/2]
	p.chunks = append(p.chunks, len(keys))
	if p.err != nil {
		return goredis.NewXStreamSliceCmdResult(nil, p.err)
	}
	var news []goredis.XStream
	for _, key := range keys {
		if data, ok := p.news[key]; ok {
			news = append(news, goredis.XStream{Stream: key, Messages: []goredis.XMessage{{ID: "9-0", Values: map[string]any{"data": data}}}})
		}
	}
	if news == nil {
		return goredis.NewXStreamSliceCmdResult(nil, goredis.Nil)
	}
	return goredis.NewXStreamSliceCmdResult(news, nil)
}

func (p *polled) set(news map[string]string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.news, p.err = news, err
}

// took returns the sizes of the XREADs since the last call.
func (p *polled) took() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	chunks := p.chunks
	p.chunks = nil
	return chunks
}

func TestPollFindsNewEntries(t *testing.T) {
	inBubble(t, func(b *bundle) {
		p := newPolled(b)
		changed, other := b.subscribe("changed", "1-0", false), b.subscribe("other", "1-0", false)
		b.run(p.PollWatched)
		time.Sleep(time.Second)
		if polls := len(p.took()); polls < 90 || polls > 101 {
			b.Errorf("%d polls in a second, want one every 10 ms", polls)
		}
		b.expectNothing(changed)
		p.set(map[string]string{"changed": "x"}, nil)
		time.Sleep(eventsPeriod)
		b.expectRead(changed)
		b.expectNothing(other)
	})
}

func TestPushedStreamsAreNotPolled(t *testing.T) {
	inBubble(t, func(b *bundle) {
		p := newPolled(b)
		b.active.set(b.redis.connect())
		s := b.subscribe("job", "1-0", false)
		b.run(p.PollWatched)
		time.Sleep(10 * time.Second)
		if chunks := p.took(); len(chunks) != 0 {
			b.Errorf("polled %v streams, want none", chunks)
		}
		b.expectNothing(s)
	})
}

// Deleted entries are not found by XREAD, so every watch reads for itself from time to time.
func TestWatchesRereadWhilePolled(t *testing.T) {
	inBubble(t, func(b *bundle) {
		p := newPolled(b)
		s := b.subscribe("job", "1-0", false)
		b.run(p.PollWatched)
		time.Sleep(rereadPeriod)
		b.expectNothing(s)
		time.Sleep(2 * eventsPeriod)
		b.expectRead(s)
	})
}

// One key of a wrong type fails the whole XREAD: the watches find out which one it is.
func TestErrorReplyNotifiesAllPolledStreams(t *testing.T) {
	inBubble(t, func(b *bundle) {
		p := newPolled(b)
		s, other := b.subscribe("job", "1-0", false), b.subscribe("other", "1-0", false)
		p.set(nil, resp.ReplyError("WRONGTYPE Operation against a key"))
		b.run(p.PollWatched)
		b.expectRead(s)
		b.expectRead(other)
		time.Sleep(time.Second)
		if polls := len(p.took()); polls > 5 {
			b.Errorf("%d polls in a second of errors, want at most 5", polls)
		}
	})
}

func TestUnavailableRedisNotifiesNothing(t *testing.T) {
	inBubble(t, func(b *bundle) {
		p := newPolled(b)
		s := b.subscribe("job", "1-0", false)
		p.set(nil, fmt.Errorf("connection refused"))
		b.run(p.PollWatched)
		time.Sleep(time.Second)
		b.expectNothing(s)
	})
}

// A poll gets an entry of any size of each stream, so it has fewer streams after large entries.
func TestPollShrinksAfterLargeEntries(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBundle(t, ctx)
	p := newPolled(b)
	p.chunk = maxChunk
	positions := make([]notify.Position, 3*maxChunk)
	large := make(map[string]string)
	for i := range positions {
		positions[i] = notify.Position{Key: fmt.Sprint("job-", i), Entry: "1-0"}
		large[positions[i].Key] = strings.Repeat("x", 8<<10)
	}
	p.pollStreams(ctx, positions)
	if chunks := p.took(); !slices.Equal(chunks, []int{maxChunk, maxChunk, maxChunk}) {
		t.Errorf("polled %v streams at a time, want %d", chunks, maxChunk)
	}
	p.set(large, nil)
	p.pollStreams(ctx, positions)
	if chunks := p.took(); chunks[0] != maxChunk || chunks[1] != maxChunk/4 {
		t.Errorf("polled %v streams at a time, want a quarter after the first", chunks)
	}
	p.set(nil, nil)
	p.pollStreams(ctx, positions)
	if chunks := p.took(); chunks[len(chunks)-2] != maxChunk {
		t.Errorf("polled %v streams at a time, want %d again", chunks, maxChunk)
	}
}

func TestPolledStatesAreRequested(t *testing.T) {
	inBubble(t, func(b *bundle) {
		p := newPolled(b)
		s := b.subscribe("state", "", true)
		b.redis.set("state", wireState("n", "1"))
		b.run(b.states.Run)
		b.run(p.PollWatched)
		time.Sleep(time.Second)
		b.expectState(s, "1")
		if _, pooled := b.redis.took(); len(pooled) < 6 || len(pooled) > 10 {
			b.Errorf("the state was read %d times in a second, want about every 100 ms", len(pooled))
		}
	})
}

// Workers take over expired leases, more often while changes are not pushed.
func TestWorkersAreWokenFromTimeToTime(t *testing.T) {
	for name, c := range map[string]struct {
		isPushed bool
		want     int
	}{"polled": {false, 40}, "pushed": {true, 4}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bundle) {
				if c.isPushed {
					b.active.set(b.redis.connect())
				}
				s := notify.NewSignal()
				worker := b.waiters.Enqueue("tasks", "group", s)
				defer worker.Leave()
				b.run(newPolled(b).PollTasks)
				woken := 0
				for end := time.After(time.Second - time.Millisecond); ; {
					select {
					case <-s.C:
						worker.Consume()
						woken++
						continue
					case <-end:
					}
					break
				}
				synctest.Wait()
				if woken != c.want {
					b.Errorf("woken %d times in a second, want %d", woken, c.want)
				}
			})
		})
	}
}
