package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Tracker is how Redis itself rings the doorbell, by server-assisted client-side caching
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
type Tracker struct {
	*Connection

	mu        sync.Mutex
	out       []byte // what was not written yet
	isWriting bool   // someone writes; he takes what comes meanwhile
	asked     []Question
	err       error // why it broke
}

// Question takes the reply to a command as it is on the wire; "" when the tracker broke
// before. It must not block.
type Question func(raw string)

var (
	// ErrUntracked: this Redis has no tracking, or forbids it.
	ErrUntracked = errors.New("redis does not track keys")
	// ErrTrackerBroken: the tracker's connection broke.
	ErrTrackerBroken = errors.New("the tracker's connection broke")
)

// Track opens a tracker.
func (c *Conn) Track(ctx context.Context) (*Tracker, error) {
	n, err := c.Connect(ctx)
	if err == nil {
		if err = n.Must(ctx, resp.Command{"client", "tracking", "on"}); err != nil {
			n.Close()
		}
	}
	if err != nil {
		return nil, refusal(err)
	}
	return &Tracker{Connection: n}, nil
}

// owner is the address of the Cluster's node that has the keys, "" without Cluster.
func (c *Conn) owner(ctx context.Context) (string, error) {
	cluster, ok := c.Commands.(*goredis.ClusterClient)
	if !ok {
		return "", nil
	}
	master, err := cluster.MasterForKey(ctx, c.Keys.Prefix)
	if err != nil {
		return "", Translate("find node", err, Repeatable)
	}
	return master.Options().Addr, nil
}

// refusal tells a Redis that won't from one that can't now.
func refusal(err error) error {
	var reply goredis.Error
	told := Translate("track", err, Repeatable)
	if errors.As(err, &reply) && !errors.Is(told, job.ErrUnavailable) {
		return fmt.Errorf("%w: %w", ErrUntracked, err)
	}
	return told
}

// Fail ends the tracker: whoever waits for an answer is told.
func (t *Tracker) Fail(err error) {
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

// Ask sends commands, with a question for each; false when the tracker is broken. It does not
// wait for the answers.
func (t *Tracker) Ask(commands []byte, questions []Question) bool {
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
		t.Fail(err)
	}
	return true
}

// AskAll sends a command for each of n and waits for the replies, which it gives to take as they
// are on the wire; false when the tracker breaks meanwhile. Replies come one after the other.
func (t *Tracker) AskAll(n int, command func(i int) resp.Command, take func(i int, raw string)) bool {
	var out []byte
	questions := make([]Question, n)
	var answers sync.WaitGroup
	var isBroken atomic.Bool
	for i := range n {
		out = resp.AppendCommand(out, command(i))
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
	if !t.Ask(out, questions) {
		return false
	}
	answers.Wait()
	return !isBroken.Load()
}

// answer gives a reply to the question it answers.
func (t *Tracker) answer(raw string) error {
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

// Run takes what Redis says until the tracker breaks or ctx ends. It tells which keys have
// changed; nil for all of them.
func (t *Tracker) Run(ctx context.Context, changed func(keys []string)) error {
	stop := context.AfterFunc(ctx, func() { t.Fail(ctx.Err()) })
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
		raw, err := resp.Read(t.in)
		if err != nil {
			return err
		}
		if raw[0] != '>' {
			if err := t.answer(raw); err != nil {
				return err
			}
			continue
		}
		told := &resp.Reply{Text: raw}
		if told.List() == 2 && told.Word() == "invalidate" {
			list := told.Words()
			if len(list) == 0 {
				changed(nil)
			}
			keys = append(keys, list...)
		}
		if told.Err != nil {
			return told.Err
		}
	}
}

// await waits until Redis says something.
func (t *Tracker) await() error {
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
		if isAsked || !t.Ask(resp.AppendCommand(nil, resp.Command{"ping"}), []Question{func(string) {}}) {
			return ErrTrackerBroken
		}
	}
}

// checkPeriod is how often it is asked which node has the keys.
const checkPeriod = 2 * time.Second

// KeepToOwner ends a tracker in Cluster when the node that has the keys is another one than its
// own, or can't be found out, until ctx ends. With Sentinel its connection is closed.
func (c *Conn) KeepToOwner(ctx context.Context, t *Tracker) {
	for t.addr != "" && Pause(ctx, checkPeriod) {
		addr, err := c.owner(ctx)
		if err == nil && addr != t.addr {
			err = ErrTrackerBroken
		}
		if err != nil {
			t.Fail(err)
			return
		}
	}
}
