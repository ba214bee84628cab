package watch

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
)

// tracked is a tracking whose connections the test hands out.
type tracked struct {
	*tracking
	conns    chan *fakeConn // nil: Redis refuses to track
	attempts atomic.Int64
}

func newTracked(b *bundle) *tracked {
	t := &tracked{conns: make(chan *fakeConn, 10)}
	t.tracking = &tracking{log: b.log, waiters: b.waiters, subscriptions: b.subscriptions, events: b.events, states: b.schedule,
		limit: b.limit, active: b.active, trips: b.trips}
	t.connect = func(context.Context) (trackingConn, error) {
		t.attempts.Add(1)
		select {
		case c := <-t.conns:
			if c != nil {
				return c, nil
			}
			return nil, conn.ErrUntracked
		default:
			return nil, errors.New("refused")
		}
	}
	t.keepToOwner = func(ctx context.Context, _ trackingConn) { <-ctx.Done() }
	return t
}

// start runs it with one connection, and takes the first notifications of some subscriptions.
func (t *tracked) start(b *bundle, subscriptions ...*subscription) *fakeConn {
	c := b.redis.connect()
	t.conns <- c
	b.run(t.Run)
	for _, s := range subscriptions {
		b.expectRead(s) // changes may have been missed before
	}
	synctest.Wait()
	return c
}

func TestTrackingBeginsWithTheFirstUse(t *testing.T) {
	for name, use := range map[string]func(*bundle){
		"watch":  func(b *bundle) { b.subscribe("job", "0-0", false) },
		"worker": func(b *bundle) { b.waiters.Enqueue("tasks", "group", notify.NewSignal()) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bundle) {
				tr := newTracked(b)
				tr.start(b)
				if tr.attempts.Load() != 0 {
					b.Fatal("it connected before anything was watched")
				}
				use(b)
				synctest.Wait()
				if tr.attempts.Load() != 1 || !b.active.isUp() || !b.subscriptions.Pushed() {
					b.Error("changes are not pushed")
				}
				if !strings.Contains(b.logged.String(), "change notifications enabled") {
					b.Errorf("the log is %q", b.logged)
				}
			})
		})
	}
}

// A pushed stream is read once, from the least position of its watches, and the reply is delivered.
func TestPushedStreamIsReadOnceForAllWatches(t *testing.T) {
	inBubble(t, func(b *bundle) {
		early, late := b.subscribe("job", "1-0", false), b.subscribe("job", "2-0", false)
		c := newTracked(b).start(b, early, late)
		b.redis.set("job", wireEntries("1-0", "2-0", "3-0"))
		for last := int64(0); last < 3; {
			c.pushed <- []string{"other", "job"}
			for _, s := range []*subscription{early, late} {
				got := b.take(s)
				if len(got) != 1 || got[0].Payload == nil {
					b.Fatalf("the notifications are %v, want one with the reply", got)
				}
				p := got[0].Payload
				if p.from != "1-0" || len(p.parse(p.raw).entries) != 3 || p.seq < last {
					b.Fatalf("the payload is %+v, want three entries in a rising order", p)
				}
				last = p.seq
			}
			expectReads(b, []string{"job"}, nil)
		}
	})
}

func TestLargeReplyIsReadAgainByItsWatches(t *testing.T) {
	inBubble(t, func(b *bundle) {
		s := b.subscribe("job", "0-0", false)
		c := newTracked(b).start(b, s)
		b.redis.set("job", wire([]any{[]any{"1-0", []any{"data", strings.Repeat("x", maxPayload)}}}))
		c.pushed <- []string{"job"}
		b.expectRead(s)
	})
}

func TestPushedStateIsScheduled(t *testing.T) {
	inBubble(t, func(b *bundle) {
		s := b.subscribe("state", "", true)
		b.run(b.states.Run)
		c := newTracked(b).start(b, s)
		b.redis.set("state", wireState("n", "1"))
		c.pushed <- []string{"state"}
		b.expectState(s, "1")
	})
}

func TestFlushNotifiesEverything(t *testing.T) {
	inBubble(t, func(b *bundle) {
		s, state := b.subscribe("job", "0-0", false), b.subscribe("state", "", true)
		c := newTracked(b).start(b, s, state)
		c.pushed <- nil
		b.expectRead(s)
		b.expectRead(state)
	})
}

// A worker is notified of a new entry of its task stream once, and not of deletions.
func TestPushedTaskWakesAWorker(t *testing.T) {
	inBubble(t, func(b *bundle) {
		worker := b.waiters.Enqueue("tasks", "group", notify.NewSignal())
		defer worker.Leave()
		tr := newTracked(b)
		b.run(b.events.Run)
		b.run(tr.Arm)
		c := tr.start(b)
		worker.Consume()
		expectReads(b, []string{"tasks"}, nil) // or its first change would not be pushed
		expect := func(want bool) {
			b.Helper()
			synctest.Wait()
			if got := worker.Consume(); got != want {
				b.Fatalf("the worker is notified: %t, want %t", got, want)
			}
		}
		c.pushed <- []string{"tasks"} // it is empty
		expect(false)
		b.redis.set("tasks", wireEntries("2-0"))
		c.pushed <- []string{"tasks"}
		expect(true)
		c.pushed <- []string{"tasks"} // another entry was deleted
		expect(false)
		b.redis.set("tasks", "-LOADING\r\n") // the key is armed again, and the worker sees the error
		c.pushed <- []string{"tasks"}
		expect(true)
	})
}

// Tasks that were there before a worker began to wait are found when its key is armed.
func TestArmFindsTasks(t *testing.T) {
	inBubble(t, func(b *bundle) {
		tr := newTracked(b)
		b.run(b.events.Run)
		b.run(tr.Arm)
		b.subscribe("job", "0-0", false)
		tr.start(b)
		b.redis.set("tasks", wireEntries("7-0"))
		worker := b.waiters.Enqueue("tasks", "group", notify.NewSignal())
		defer worker.Leave()
		synctest.Wait()
		if !worker.Consume() {
			b.Error("the worker is not notified")
		}
	})
}

// When the connection breaks, changes may be missed: everything is notified, and again when there is
// a new connection.
func TestBrokenConnectionIsReplaced(t *testing.T) {
	inBubble(t, func(b *bundle) {
		s := b.subscribe("job", "0-0", false)
		tr := newTracked(b)
		c := tr.start(b, s)
		c.Fail(conn.ErrTrackerBroken)
		b.expectRead(s)
		if b.active.isUp() || b.subscriptions.Pushed() {
			b.Error("changes are said to be pushed over a broken connection")
		}
		second := b.redis.connect()
		tr.conns <- second
		time.Sleep(conn.RetryPeriod)
		b.expectRead(s)
		if b.active.get() != trackingConn(second) || tr.connections.Load() != 2 {
			b.Error("the second connection is not used")
		}
		if n := strings.Count(b.logged.String(), "change notifications enabled"); n != 1 {
			b.Errorf("the mode was logged %d times, want once", n)
		}
	})
}

// The check of the owner ends with its connection, and the connection ends with ctx.
func TestTrackingEndsWithItsContext(t *testing.T) {
	inBubble(t, func(b *bundle) {
		s := b.subscribe("job", "0-0", false)
		tr := newTracked(b)
		c := b.redis.connect()
		tr.conns <- c
		ctx, cancel := context.WithCancel(b.ctx)
		b.work.Go(func() { tr.Run(ctx) })
		b.expectRead(s)
		cancel()
		b.work.Wait()
		if !c.isBroken() || b.active.isUp() {
			b.Error("the connection is still in use")
		}
	})
}

func TestRefusedTrackingIsTriedEachMinute(t *testing.T) {
	inBubble(t, func(b *bundle) {
		b.subscribe("job", "0-0", false)
		tr := newTracked(b)
		for range 3 {
			tr.conns <- nil
		}
		b.run(tr.Run)
		time.Sleep(2*refusedPeriod + time.Second)
		if n := tr.attempts.Load(); n != 3 {
			b.Errorf("%d attempts in two minutes, want 3", n)
		}
		if n := strings.Count(b.logged.String(), "watched keys are polled"); n != 1 {
			b.Errorf("the mode was logged %d times, want once: %s", n, b.logged)
		}
	})
}
