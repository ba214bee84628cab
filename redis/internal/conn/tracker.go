package conn

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Tracker receives change notifications from Redis by server-assisted client-side caching (CLIENT
// TRACKING, Redis 6.0), over one connection that speaks RESP3. Redis remembers which keys are read
// there; when any client changes, creates or deletes such a key, it pushes the key's name, once. So
// a read returns what there is and subscribes to the next change.
//
// Replies come in the order of their questions, and notifications between them. One goroutine
// handles both: it asks for a changed key as soon as it receives the notification, without waiting
// for the reply. From the change to the waiter there are two round trips and one switch between
// goroutines.
//
// The tracker owns its connection, which is never opened again: when it breaks, Redis forgets the
// keys, and a new tracker replaces this one.
type Tracker struct {
	*Connection

	mu        sync.Mutex
	out       []byte // commands that are not written yet
	isWriting bool   // one goroutine writes out; others only append to it
	asked     []Question
	err       error // why it broke
}

// Question receives the reply to a command as it is on the wire; "" when the tracker broke before.
// It must not block.
type Question func(raw string)

var (
	// ErrUntracked: this Redis has no tracking, or forbids it.
	ErrUntracked = errors.New("redis does not track keys")
	// ErrTrackerBroken: the tracker's connection broke.
	ErrTrackerBroken = errors.New("the tracker's connection broke")
)

// Track opens a tracker. It fails with ErrUntracked or ErrUnavailable. The caller must close it.
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

// refusal distinguishes a Redis that has no tracking, or denies it, from one that is unavailable.
func refusal(err error) error {
	var reply goredis.Error
	translated := Translate("track", err, Repeatable)
	if errors.As(err, &reply) && !errors.Is(translated, job.ErrUnavailable) {
		return fmt.Errorf("%w: %w", ErrUntracked, err)
	}
	return translated
}

// Fail ends the tracker and its connection. Questions without a reply receive "".
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

// Ask sends commands, with a question for each; false when the tracker is broken. It does not wait
// for the replies.
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

// AskAll sends n commands and waits for their replies, with each of which it calls take, one after
// the other; false when the tracker breaks meanwhile. A reply is as it is on the wire.
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

// answer passes a reply to its question.
func (t *Tracker) answer(raw string) error {
	t.mu.Lock()
	if len(t.asked) == 0 {
		t.mu.Unlock()
		return errors.New("redis sent a reply without a command")
	}
	q := t.asked[0]
	t.asked[0] = nil
	t.asked = t.asked[1:]
	t.mu.Unlock()
	q(raw)
	return nil
}
