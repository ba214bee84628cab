package notify

import (
	"slices"
	"strconv"
	"testing"
)

type (
	testSubs = Subscriptions[string, string]
	testSub  = Subscription[string, string]
	testBox  = Inbox[string, string]
)

func newTestSubs() *testSubs { return NewSubscriptions[string, string](numbers) }

func subscribe(s *testSubs, box *testBox, owner, key, position string) *testSub {
	sub := &testSub{Inbox: box, Key: key, Owner: owner}
	s.Subscribe(sub, position)
	return sub
}

// mail takes what is in an inbox as owner or owner=payload.
func mail(box *testBox) (got []string) {
	select {
	case <-box.Mail():
	default:
		return nil
	}
	for _, n := range box.Take(100) {
		if n.Payload != nil {
			got = append(got, n.Owner+"="+*n.Payload)
		} else {
			got = append(got, n.Owner)
		}
	}
	return got
}

func expectMail(t *testing.T, box *testBox, want ...string) {
	t.Helper()
	got := mail(box)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("the inbox has %q, want %q", got, want)
	}
}

func TestEverySubscriptionOfAKeyIsNotified(t *testing.T) {
	t.Parallel()
	s, box := newTestSubs(), NewInbox[string, string]()
	a, b := subscribe(s, box, "a", "job", "1"), subscribe(s, box, "b", "job", "1")
	subscribe(s, box, "c", "other", "1")
	text := "x"
	s.Deliver("job", &text)
	s.NotifyKey("job2")
	expectMail(t, box, "a=x", "b=x")
	s.Unsubscribe(a)
	s.NotifyKey("job")
	expectMail(t, box, "b")
	s.Unsubscribe(b)
	s.NotifyKey("job")
	expectMail(t, box)
	if keys, tracked := s.Len(); keys != 1 || tracked != 1 {
		t.Errorf("%d keys and %d tracked, want 1 and 1", keys, tracked)
	}
}

// A subscriber that must read for itself is not given an answer that may be older than the reason.
func TestReReadIsNotReplacedByAPayload(t *testing.T) {
	t.Parallel()
	s, box := newTestSubs(), NewInbox[string, string]()
	subscribe(s, box, "a", "job", "1")
	old, newer := "old", "new"
	s.Deliver("job", &old)
	s.Deliver("job", &newer)
	expectMail(t, box, "a=new")
	s.NotifyKey("job")
	s.Deliver("job", &newer)
	expectMail(t, box, "a")
	s.Deliver("job", &newer)
	s.NotifyKey("job")
	expectMail(t, box, "a")
}

func TestInboxIsTakenInPages(t *testing.T) {
	t.Parallel()
	s, box := newTestSubs(), NewInbox[string, string]()
	for i := range 5 {
		subscribe(s, box, strconv.Itoa(i), strconv.Itoa(i), "")
	}
	s.NotifyAll()
	if taken := box.Take(3); len(taken) != 3 {
		t.Fatalf("%d notifications, want 3", len(taken))
	}
	if rest := mail(box); len(rest) != 2 {
		t.Errorf("%v are left, want 2 and a signal for them", rest)
	}
}

func TestChangedKeySaysWhatToRead(t *testing.T) {
	t.Parallel()
	s, box := newTestSubs(), NewInbox[string, string]()
	a := subscribe(s, box, "a", "job", "7")
	subscribe(s, box, "b", "job", "3")
	value := &testSub{Inbox: box, Key: "state", Owner: "v", IsValue: true}
	s.Subscribe(value, "")
	if c := s.Changed("job"); !c.HasSubscriptions || c.IsValue || c.Position != "3" {
		t.Errorf("the change is %+v, want a read from the least position", c)
	}
	s.Advance(a, "2")
	if c := s.Changed("job"); c.Position != "2" {
		t.Errorf("the position is %q, want 2", c.Position)
	}
	if c := s.Changed("state"); !c.HasSubscriptions || !c.IsValue {
		t.Errorf("the change is %+v, want a value", c)
	}
	if c := s.Changed("none"); c.HasSubscriptions {
		t.Error("a key without subscriptions is to be read")
	}
	expectMail(t, box)
}

func TestValueRemembersWhatWasDelivered(t *testing.T) {
	t.Parallel()
	s, box := newTestSubs(), NewInbox[string, string]()
	s.Subscribe(&testSub{Inbox: box, Key: "state", Owner: "v", IsValue: true}, "")
	first, second := "1", "2"
	if before := s.DeliverValue("state", &first); before != nil {
		t.Errorf("before the first value there was %q", *before)
	}
	if before := s.DeliverValue("state", &second); before != &first {
		t.Error("the value before is not the one that was delivered")
	}
	expectMail(t, box, "v=2")
}

// Redis remembers a bounded number of keys: what is beyond the limit is polled, and each change of
// that wakes the subscribers, so that nothing between the two ways is missed.
func TestKeysBeyondTheLimitArePolled(t *testing.T) {
	t.Parallel()
	s, box := newTestSubs(), NewInbox[string, string]()
	const n = 4 * minTracked
	for i := range n {
		subscribe(s, box, strconv.Itoa(i), "job"+strconv.Itoa(i), "5")
	}
	if polled := s.PolledEntries(true); polled != nil {
		t.Fatalf("%d keys are polled before there is a limit", len(polled))
	}
	if all := s.PolledEntries(false); len(all) != n {
		t.Fatalf("without pushes %d keys are polled, want all %d", len(all), n)
	}
	if tracked := s.Shrink(); tracked != n/2 {
		t.Fatalf("%d keys are tracked, want half of %d", tracked, n)
	}
	polled := s.PolledEntries(true)
	if len(polled) != n/2 || polled[0].Entry != "5" {
		t.Fatalf("%d keys are polled, want the other half, each with its position", len(polled))
	}
	if len(box.Take(n)) != n/2 {
		t.Error("not every key that is polled now was notified")
	}
	if c := s.Changed(polled[0].Key); c.HasSubscriptions {
		t.Error("a polled key is read over the tracking connection")
	}
	if len(box.Take(n)) != 1 {
		t.Error("the change of a polled key that was pushed all the same was dropped")
	}
	pushed, others := s.Divide(true, 2, func(i int) string { return []string{polled[0].Key, "unknown"}[i] })
	if !slices.Equal(pushed, []int{1}) || !slices.Equal(others, []int{0}) {
		t.Errorf("divided into %v and %v", pushed, others)
	}
	if s.NotifyPolled(); len(box.Take(n)) != n/2 {
		t.Error("not all polled keys were notified")
	}
	late := subscribe(s, box, "late", "late", "5")
	if !late.polled {
		t.Error("a key beyond the limit is tracked")
	}
	s.Grow()
	s.Grow()
	if keys, tracked := s.Len(); keys != tracked || s.PolledEntries(true) != nil {
		t.Errorf("%d of %d keys are tracked after growing", tracked, keys)
	}
}
