package watch

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
)

func expectReads(b *bundle, tracked, pooled []string) {
	b.Helper()
	gotTracked, gotPooled := b.redis.took()
	if !slices.Equal(gotTracked, tracked) || !slices.Equal(gotPooled, pooled) {
		b.Fatalf("read %v over the tracking connection and %v over the pool, want %v and %v", gotTracked, gotPooled, tracked, pooled)
	}
}

func streamReads(keys ...string) (page []streamRead) {
	for _, key := range keys {
		page = append(page, streamRead{key: key, from: "0-0", count: firstEvents})
	}
	return page
}

func TestKeysAreReadOverTheTrackingConnection(t *testing.T) {
	inBubble(t, func(b *bundle) {
		page := streamReads("a", "b")
		b.redis.set("b", wireEntries("1-0"))
		b.events.streams.read(b.ctx, page)
		expectReads(b, nil, []string{"a", "b"})
		b.active.set(b.redis.connect())
		replies := b.events.streams.read(b.ctx, page)
		expectReads(b, []string{"a", "b"}, nil)
		if len(replies[0].entries) != 0 || len(replies[1].entries) != 1 {
			b.Errorf("the replies are %+v, want none and one entry", replies)
		}
		if replies[0].seq >= replies[1].seq {
			b.Errorf("the replies have the numbers %d and %d, want a rising order", replies[0].seq, replies[1].seq)
		}
	})
}

func TestPolledKeysAreReadOverThePool(t *testing.T) {
	inBubble(t, func(b *bundle) {
		b.active.set(b.redis.connect())
		var page []streamRead
		for i := range 300 {
			key := string(rune('가' + i))
			b.subscribe(key, "0-0", false)
			page = append(page, streamReads(key)...)
		}
		b.subscriptions.Shrink()
		b.events.streams.read(b.ctx, page)
		if tracked, pooled := b.redis.took(); len(tracked) != 150 || len(pooled) != 150 {
			b.Errorf("%d keys were tracked and %d polled, want 150 of each", len(tracked), len(pooled))
		}
	})
}

func TestBrokenTrackingConnectionFallsBackToThePool(t *testing.T) {
	inBubble(t, func(b *bundle) {
		c := b.redis.connect()
		c.Fail(conn.ErrTrackerBroken)
		b.active.set(c)
		b.redis.set("a", wireEntries("1-0"))
		if replies := b.events.streams.read(b.ctx, streamReads("a")); len(replies[0].entries) != 1 || replies[0].err != nil {
			b.Errorf("the reply is %+v, want one entry", replies[0])
		}
		expectReads(b, nil, []string{"a"})
	})
}

// A key that is moving to another node is read there. Its next change is not pushed, so it is read
// again soon.
func TestRedirectedKeyIsReadAgain(t *testing.T) {
	inBubble(t, func(b *bundle) {
		c := b.redis.connect()
		b.active.set(c)
		s := b.subscribe("a", "0-0", false)
		b.redis.set("a", "-ASK 7 other:6379\r\n")
		if replies := b.events.streams.read(b.ctx, streamReads("a", "b")); replies[0].err != nil {
			b.Fatal(replies[0].err)
		}
		expectReads(b, []string{"a", "b"}, []string{"a"})
		b.expectNothing(s)
		time.Sleep(conn.RetryPeriod)
		b.expectRead(s)
		if c.isBroken() {
			b.Error("the connection to a node that still has the slot has ended")
		}
	})
}

func TestMovedSlotEndsTheTrackingConnection(t *testing.T) {
	inBubble(t, func(b *bundle) {
		c := b.redis.connect()
		b.active.set(c)
		b.redis.set("a", "-MOVED 7 other:6379\r\n")
		if replies := b.events.streams.read(b.ctx, streamReads("a")); replies[0].err != nil {
			b.Fatal(replies[0].err)
		}
		if !c.isBroken() {
			b.Error("the connection to a node that has lost the slot is still open")
		}
		time.Sleep(conn.RetryPeriod)
		synctest.Wait()
	})
}
