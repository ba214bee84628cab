package watch

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Reads that are requested at the same time share a round trip, and equal ones share a reply.
func TestReadsShareARoundTrip(t *testing.T) {
	inBubble(t, func(b *bundle) {
		b.redis.set("a", wireEntries("1-0", "2-0"))
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() {
				replies, err := b.events.read(b.ctx, streamReads("a", "b"))
				if err != nil || len(replies) != 2 || len(replies[0].entries) != 2 || len(replies[1].entries) != 0 {
					b.Errorf("the replies are %+v, %v", replies, err)
				}
			})
		}
		synctest.Wait() // all requests are queued
		b.run(b.events.Run)
		callers.Wait()
		if _, pooled := b.redis.took(); len(pooled) != 2 {
			b.Errorf("read %v, want each key once", pooled)
		}
		if keys, trips := b.trips.keys.Load(), b.trips.pipelines.Load(); keys != 2 || trips != 1 {
			b.Errorf("counted %d keys in %d round trips, want 2 in 1", keys, trips)
		}
	})
}

func TestPageOfReadsIsBounded(t *testing.T) {
	inBubble(t, func(b *bundle) {
		b.run(b.events.Run)
		page := make([]streamRead, 2*maxPage)
		for i := range page {
			page[i] = streamReads(string(rune(0x10000 + i)))[0]
		}
		if _, err := b.events.read(b.ctx, page); err != nil {
			b.Fatal(err)
		}
		if keys, trips := b.trips.keys.Load(), b.trips.pipelines.Load(); keys != 2*maxPage || trips < 2 {
			b.Errorf("counted %d keys in %d round trips, want %d in at least 2", keys, trips, 2*maxPage)
		}
	})
}

func TestReadEndsWithItsContext(t *testing.T) {
	inBubble(t, func(b *bundle) {
		ctx, cancel := context.WithCancel(b.ctx)
		b.work.Go(func() { // nothing serves the request
			if _, err := b.events.read(ctx, streamReads("a")); !errors.Is(err, context.Canceled) {
				b.Errorf("the error is %v, want that of the context", err)
			}
		})
		synctest.Wait()
		cancel()
	})
}

func TestReadFailsWhenTheHubHasEnded(t *testing.T) {
	inBubble(t, func(b *bundle) {
		ctx, end := context.WithCancel(b.ctx)
		end()
		b.events.Run(ctx)
		if _, err := b.events.read(b.ctx, streamReads("a")); !errors.Is(err, job.ErrUnavailable) {
			b.Errorf("the error is %v, want %v", err, job.ErrUnavailable)
		}
	})
}

func TestErrorReplyIsThatOfItsKey(t *testing.T) {
	t.Parallel()
	read := streamReads("a")[0]
	if reply := read.parse("-WRONGTYPE Operation against a key\r\n"); !errors.Is(reply.err, job.ErrKeyType) {
		t.Errorf("the error is %v, want %v", reply.err, job.ErrKeyType)
	}
	if reply := read.parse(wireEntries("1-0", "2-0", "3-0")); reply.err != nil || !reply.hasMore || reply.bytes == 0 {
		t.Errorf("the reply is %+v, want a full page", reply)
	}
	if reply := lastEntry("a").parse(wireEntries()); reply.err != nil || len(reply.entries) != 0 {
		t.Errorf("the reply is %+v, want an empty one", reply)
	}
}
