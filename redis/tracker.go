package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// tracker is how Redis itself rings the doorbell, by server-assisted client-side caching
// (CLIENT TRACKING, Redis 6.0), over one connection that speaks RESP3. Redis remembers which
// keys are read there; when anyone changes, creates or deletes such a key, it tells the key's
// name, once. So a read both looks and asks to be told of the next change.
//
// Questions are answered in their order, and what changed is told between the answers; so one
// goroutine takes all that comes, and a key that changed is read by the one that hears of it,
// at once and without waiting for the answer: from the change to whoever waits there are two
// ways to Redis and no switch between goroutines but the last one.
//
// The connection is the tracker's own and is never made again: when it breaks, all that Redis
// remembered is gone, and a new tracker takes over.
type tracker struct {
	*connection

	mu        sync.Mutex
	out       []byte // what was not written yet
	isWriting bool   // someone writes; he takes what comes meanwhile
	asked     []question
	err       error // why it broke
}

// question takes the reply to a command as it is on the wire; "" when the tracker broke
// before. It must not block.
type question func(raw string)

var (
	// errUntracked: this Redis has no tracking, or forbids it.
	errUntracked = errors.New("redis does not track keys")
	// errTrackerBroken: the tracker's connection broke.
	errTrackerBroken = errors.New("the tracker's connection broke")
)

// track opens a tracker.
func (c *Client) track(ctx context.Context) (*tracker, error) {
	n, err := c.connect(ctx)
	if err == nil {
		if err = n.must(ctx, words{"client", "tracking", "on"}); err != nil {
			n.close()
		}
	}
	if err != nil {
		return nil, refusal(err)
	}
	return &tracker{connection: n}, nil
}

// owner is the address of the Cluster's node that has the keys, "" without Cluster.
func (c *Client) owner(ctx context.Context) (string, error) {
	cluster, ok := c.commands.(*goredis.ClusterClient)
	if !ok {
		return "", nil
	}
	master, err := cluster.MasterForKey(ctx, c.keys.prefix)
	if err != nil {
		return "", translate("find node", err, repeatable)
	}
	return master.Options().Addr, nil
}

// refusal tells a Redis that won't from one that can't now.
func refusal(err error) error {
	var reply goredis.Error
	told := translate("track", err, repeatable)
	if errors.As(err, &reply) && !errors.Is(told, ErrUnavailable) {
		return fmt.Errorf("%w: %w", errUntracked, err)
	}
	return told
}

// fail ends the tracker: whoever waits for an answer is told.
func (t *tracker) fail(err error) {
	t.mu.Lock()
	if t.err == nil {
		t.err = err
		_ = t.conn.Close()
	}
	asked := t.asked
	t.asked = nil
	t.mu.Unlock()
	for _, q := range asked {
		q("")
	}
}

// ask sends commands, with a question for each; false when the tracker is broken. It does not
// wait for the answers.
func (t *tracker) ask(commands []byte, questions []question) bool {
	t.mu.Lock()
	if t.err != nil {
		t.mu.Unlock()
		return false
	}
	t.out, t.asked = append(t.out, commands...), append(t.asked, questions...)
	if t.isWriting {
		t.mu.Unlock()
		return true
	}
	t.isWriting = true
	var err error
	for err == nil && len(t.out) > 0 {
		out := t.out
		t.out = nil
		t.mu.Unlock()
		if err = t.conn.SetWriteDeadline(time.Now().Add(t.timeout)); err == nil {
			_, err = t.conn.Write(out)
		}
		t.mu.Lock()
	}
	t.isWriting = false
	t.mu.Unlock()
	if err != nil {
		t.fail(err)
	}
	return true
}

// askAll sends a command for each of n and waits for the replies, which it gives to take as they
// are on the wire; false when the tracker breaks meanwhile. Replies come one after the other.
func (t *tracker) askAll(n int, command func(i int) words, take func(i int, raw string)) bool {
	var out []byte
	questions := make([]question, n)
	var answers sync.WaitGroup
	var isBroken atomic.Bool
	for i := range n {
		out = appendCommand(out, command(i))
		questions[i] = func(raw string) {
			if raw == "" {
				isBroken.Store(true)
			} else {
				take(i, raw)
			}
			answers.Done()
		}
	}
	answers.Add(n)
	if !t.ask(out, questions) {
		return false
	}
	answers.Wait()
	return !isBroken.Load()
}

// answer gives a reply to the question it answers.
func (t *tracker) answer(raw string) error {
	t.mu.Lock()
	if len(t.asked) == 0 {
		t.mu.Unlock()
		return errors.New("a reply that nobody asked for")
	}
	q := t.asked[0]
	t.asked[0] = nil
	t.asked = t.asked[1:]
	t.mu.Unlock()
	q(raw)
	return nil
}

// How a connection that died without a word is noticed: after pingAfter without a word it is
// pinged, and after a second silence it is given up.
const pingAfter = time.Second

// changedPage is how many changed keys are told at once, at most.
const changedPage = 500

// run takes what Redis says until the tracker breaks or ctx ends. It tells which keys have
// changed; nil for all of them.
func (t *tracker) run(ctx context.Context, changed func(keys []string)) error {
	stop := context.AfterFunc(ctx, func() { t.fail(ctx.Err()) })
	defer stop()
	var keys []string
	for {
		if t.in.Buffered() == 0 || len(keys) >= changedPage {
			if len(keys) > 0 {
				changed(keys)
				keys = nil
			}
			if err := t.await(); err != nil {
				return err
			}
		}
		raw, err := readReply(t.in)
		if err != nil {
			return err
		}
		if raw[0] != '>' {
			if err := t.answer(raw); err != nil {
				return err
			}
			continue
		}
		told := &reply{text: raw}
		if told.list() == 2 && told.word() == "invalidate" {
			list := told.words()
			if len(list) == 0 {
				changed(nil)
			}
			keys = append(keys, list...)
		}
		if told.err != nil {
			return told.err
		}
	}
}

// await waits until Redis says something.
func (t *tracker) await() error {
	for isAsked := false; ; isAsked = true {
		if err := t.conn.SetReadDeadline(time.Now().Add(pingAfter)); err != nil {
			return err
		}
		_, err := t.in.Peek(1)
		var timeout net.Error
		if err == nil || !errors.As(err, &timeout) || !timeout.Timeout() {
			if err == nil { // what has begun may take a while to come
				err = t.conn.SetReadDeadline(time.Now().Add(t.timeout))
			}
			return err
		}
		if isAsked || !t.ask(appendCommand(nil, words{"ping"}), []question{func(string) {}}) {
			return errTrackerBroken
		}
	}
}

// checkPeriod is how often it is asked which node has the keys.
const checkPeriod = 2 * time.Second

// keepToOwner ends a tracker in Cluster when the node that has the keys is another one than its
// own, or can't be found out, until ctx ends. With Sentinel its connection is closed.
func (c *Client) keepToOwner(ctx context.Context, t *tracker) {
	for t.addr != "" && pause(ctx, checkPeriod) {
		addr, err := c.owner(ctx)
		if err == nil && addr != t.addr {
			err = errTrackerBroken
		}
		if err != nil {
			t.fail(err)
			return
		}
	}
}

// WaitStats say who waits at a broker, and how he is woken.
type WaitStats struct {
	// Tracking: Redis rings for what others write. Else it is found by sweeping.
	Tracking bool
	// Trackers is how often it began to: once, unless its connections broke.
	Trackers int64
	Workers  int // waiting Reads
	Keys     int // completion streams and states that are watched
	Polled   int // of these, how many are polled though Tracking: Redis can't remember them all
	// Rings is how often Redis told of a changed key, Reads how many keys were looked at,
	// Pipelines in how many round trips, and Sweeps how often all keys were swept.
	Rings, Reads, Pipelines, Sweeps int64
	// UnseenRemoved is how many entries this broker's cleaner removed from task streams that no
	// consumer is known to have been given: every consumer group began behind them.
	UnseenRemoved int64
}

// WaitStats tells who waits.
func (b *Broker) WaitStats() WaitStats {
	s := WaitStats{Tracking: b.tracker.Load() != nil, Trackers: b.trackers.Load(), Rings: b.rings.Load(),
		Reads: b.reads.read.Load(), Pipelines: b.reads.pipelines.Load(), Sweeps: b.sweeps.Load(), UnseenRemoved: b.unseenRemoved.Load()}
	keys, tracked := b.subscriptions.Len()
	if s.Workers, s.Keys = b.waiters.Len(), keys; s.Tracking {
		s.Polled = keys - tracked
	}
	return s
}
