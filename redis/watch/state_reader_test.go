package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

// expectState fails unless a subscription was delivered a state with one field n. It returns the number.
func (b *bundle) expectState(s *subscription, n string) int64 {
	b.Helper()
	got := b.take(s)
	if len(got) != 1 || got[0].Payload == nil || got[0].Payload.state.fields["n"] != n {
		b.Fatalf("the notifications are %v, want a state with n=%s", got, n)
	}
	return got[0].Payload.seq
}

// However often a state changes, it is read at most every 50 ms, and the last change is seen.
func TestStateIsReadOncePerPause(t *testing.T) {
	inBubble(t, func(b *bundle) {
		b.run(b.states.Run)
		s, other := b.subscribe("state", "", true), b.subscribe("state", "", true)
		start := time.Now()
		for n := range 1000 { // a change each millisecond
			b.redis.set("state", wireState("n", fmt.Sprint(n)))
			b.schedule.request("state")
			b.schedule.request("state")
			time.Sleep(time.Millisecond)
		}
		time.Sleep(statePause)
		b.expectState(s, "999")
		b.expectState(other, "999")
		most := int(time.Since(start)/statePause) + 1
		if _, pooled := b.redis.took(); len(pooled) > most || len(pooled) < most-2 {
			b.Errorf("read %d times, want %d", len(pooled), most)
		}
	})
}

func TestFirstRequestOfAStateDoesNotWait(t *testing.T) {
	inBubble(t, func(b *bundle) {
		b.run(b.states.Run)
		s := b.subscribe("state", "", true)
		b.redis.set("state", wireState("n", "1"))
		b.schedule.request("state")
		b.expectState(s, "1") // without a pause
		b.redis.set("state", wireState("n", "2"))
		b.schedule.request("state")
		b.expectNothing(s)
		time.Sleep(statePause - time.Nanosecond)
		b.expectNothing(s)
		time.Sleep(time.Nanosecond)
		b.expectState(s, "2")
	})
}

// An update with a higher number than a request was read after it.
func TestUpdateNumbersFollowRequests(t *testing.T) {
	inBubble(t, func(b *bundle) {
		s := b.subscribe("state", "", true)
		b.schedule.request("state")
		page, number, _ := b.schedule.due(time.Now())
		during := b.schedule.request("state") // the read may have missed what this is for
		b.states.deliver(page[0], number, stateResult{})
		if got := b.take(s); len(got) != 1 || got[0].Payload.seq > during {
			b.Errorf("an update of a read that began before the request has a number above %d", during)
		}
		time.Sleep(statePause)
		b.run(b.states.Run)
		b.redis.set("state", wireState("n", "1"))
		if seq := b.expectState(s, "1"); seq <= during {
			b.Errorf("the update has the number %d, want more than %d", seq, during)
		}
	})
}

func TestStateThatIsBeingReadIsNotReadTwice(t *testing.T) {
	t.Parallel()
	schedule, now := newStateSchedule(), time.Now()
	schedule.request("state")
	page, _, _ := schedule.due(now)
	schedule.request("state")
	if again, _, pause := schedule.due(now.Add(time.Hour)); len(again) != 0 || pause != 0 {
		t.Errorf("%d states are due, in %s; want none until the read ends", len(again), pause)
	}
	<-schedule.ready
	schedule.finish(page[0])
	select {
	case <-schedule.ready:
	default:
		t.Error("the end of the read is not signalled")
	}
	if again, _, _ := schedule.due(now.Add(time.Hour)); len(again) != 1 {
		t.Error("the state is not read again")
	}
}

func TestScheduleForgetsStates(t *testing.T) {
	t.Parallel()
	schedule, now := newStateSchedule(), time.Now()
	for i := range 3 * maxStatePage {
		schedule.request(fmt.Sprint(i))
	}
	read := 0
	for {
		page, number, _ := schedule.due(now)
		if len(page) == 0 {
			break
		}
		if len(page) > maxStatePage || number != int64(read/maxStatePage+1) {
			t.Fatalf("page %d has %d states", number, len(page))
		}
		for _, s := range page {
			schedule.finish(s)
		}
		read += len(page)
	}
	if read != 3*maxStatePage {
		t.Errorf("%d states were due, want %d", read, 3*maxStatePage)
	}
	schedule.due(now.Add(2 * statePause))
	if len(schedule.states) != 0 || schedule.recent != nil {
		t.Errorf("%d states are remembered", len(schedule.states))
	}
}

// A large state does not delay small ones.
func TestLargeStateIsReadInTheBackground(t *testing.T) {
	inBubble(t, func(b *bundle) {
		proceed := make(chan struct{})
		b.states.readLarge = func(_ context.Context, _ *scheduledState, found state.Stored) (state.Stored, error) {
			<-proceed
			found.Fields = map[string]string{"n": "large"}
			return found, nil
		}
		b.run(b.states.Run)
		large, small := b.subscribe("large", "", true), b.subscribe("small", "", true)
		b.redis.set("large", wire([]any{state.Large, "-1", "running", ""}))
		b.redis.set("small", wireState("n", "1"))
		b.schedule.request("large")
		b.schedule.request("small")
		b.expectState(small, "1")
		b.expectNothing(large)
		close(proceed)
		b.expectState(large, "large")
	})
}

func TestStateIsReadByTheTextOfAnUnknownScript(t *testing.T) {
	inBubble(t, func(b *bundle) {
		b.active.set(b.redis.connect())
		b.redis.unknown = true
		b.redis.set("state", wireState("n", "1"))
		s := b.subscribe("state", "", true)
		b.run(b.states.Run)
		b.schedule.request("state")
		b.expectState(s, "1")
		if want := []string{"evalsha", "eval"}; !slices.Equal(b.redis.commands, want) {
			b.Errorf("the commands are %v, want %v", b.redis.commands, want)
		}
	})
}

func TestStateOfAWrongTypeIsAnError(t *testing.T) {
	inBubble(t, func(b *bundle) {
		b.run(b.states.Run)
		s := b.subscribe("state", "", true)
		b.redis.set("state", "-WRONGTYPE Operation against a key\r\n")
		b.schedule.request("state")
		if got := b.take(s); len(got) != 1 || !errors.Is(got[0].Payload.state.err, job.ErrKeyType) {
			b.Errorf("the notifications are %v, want the error %v", got, job.ErrKeyType)
		}
	})
}

// A push of a state that has not changed counts as needless.
func TestUnchangedPushedStateIsNeedless(t *testing.T) {
	inBubble(t, func(b *bundle) {
		b.run(b.states.Run)
		b.subscribe("state", "", true)
		for n, want := range []int{0, 1, 2, 2} { // first seen, unchanged, unchanged, changed
			if n != 2 {
				b.redis.set("state", wireState("n", fmt.Sprint(n/3)))
			}
			b.schedule.pushed("state")
			time.Sleep(statePause)
			synctest.Wait()
			if b.limit.pushes != n+1 || b.limit.needless != want {
				b.Fatalf("after push %d: %d counted, %d needless, want %d needless", n+1, b.limit.pushes, b.limit.needless, want)
			}
		}
	})
}
