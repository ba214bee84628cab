package redis

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// A state that is watched is read for all who watch it at once, and not more often than once
// per statePause, however often it changes. Small states are read over the tracker's
// connection, many at a time; large ones over connections of their own. What was read is
// shared, so nothing may change it.
const (
	statePause = 50 * time.Millisecond
	// statePage is how many states one pipeline reads.
	statePage = 100
)

// stateReads knows the states that are wanted, or were read just now.
type stateReads struct {
	mu      sync.Mutex
	states  map[string]*watchedState
	wanted  []*watchedState
	recent  []*watchedState // that were read, in their order
	started int64           // pages so far
	work    chan struct{}   // holds one signal that something is wanted
}

// watchedState is a state that is watched, guarded by stateReads.mu.
type watchedState struct {
	key                 string
	isWanted, isReading bool
	isRung              bool      // Redis rang for it since it was read last
	last                time.Time // when it was read last
}

// stateAnswer is what was read of a state for those who watch it.
type stateAnswer struct {
	fields     map[string]string
	isTooLarge bool
	err        error
}

// wake puts a signal into a channel that holds one.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func newStateReads() *stateReads {
	return &stateReads{states: make(map[string]*watchedState), work: make(chan struct{}, 1)}
}

// want has a state read soon, for all who listen for it. An answer with a higher number than
// the returned one was read after this call.
func (r *stateReads) want(key string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.states[key]
	if s == nil {
		s = &watchedState{key: key}
		r.states[key] = s
	}
	if !s.isWanted {
		s.isWanted = true
		r.wanted = append(r.wanted, s)
		wake(r.work)
	}
	return r.started
}

// rung is want for a state that Redis rang for.
func (r *stateReads) rung(key string) {
	r.want(key)
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.states[key]; s != nil {
		s.isRung = true
	}
}

// due takes a page of the states that may be read now, and its number. Without any, pause is
// how long until there is one, 0 if nothing is wanted.
func (r *stateReads) due(now time.Time) (page []*watchedState, number int64, pause time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(now)
	kept := r.wanted[:0]
	for i, s := range r.wanted {
		if len(page) == statePage {
			kept = append(kept, r.wanted[i:]...)
			break
		}
		left := statePause - now.Sub(s.last)
		switch {
		case left <= 0 && !s.isReading:
			s.isWanted, s.isReading, s.last = false, true, now
			page, r.recent = append(page, s), append(r.recent, s)
			continue
		case s.isReading: // its end is a signal
		case pause == 0 || left < pause:
			pause = left
		}
		kept = append(kept, s)
	}
	clear(r.wanted[len(kept):])
	r.wanted = kept
	if len(page) > 0 {
		r.started++
	}
	return page, r.started, pause
}

// finish ends the read of a state, and says whether Redis rang for it.
func (r *stateReads) finish(s *watchedState) (wasRung bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wasRung = s.isRung
	s.isReading, s.isRung = false, false
	if s.isWanted {
		wake(r.work)
	}
	return wasRung
}

// forget drops the states that may be read at any time again. The caller holds mu.
func (r *stateReads) forget(now time.Time) {
	n := 0
	for ; n < len(r.recent) && now.Sub(r.recent[n].last) > statePause; n++ {
		s := r.recent[n]
		if !s.isWanted && !s.isReading && r.states[s.key] == s {
			delete(r.states, s.key)
		}
	}
	if r.recent = r.recent[n:]; len(r.recent) == 0 {
		r.recent = nil
	}
}

// serveStates reads the states that are wanted, until ctx ends.
func (b *Broker) serveStates(ctx context.Context) {
	var large sync.WaitGroup
	defer large.Wait()
	timer := time.NewTimer(longPeriod)
	defer timer.Stop()
	for {
		page, number, pause := b.watched.due(time.Now())
		if len(page) > 0 {
			b.readWatched(ctx, &large, page, number)
			continue
		}
		var elapsed <-chan time.Time
		if pause > 0 {
			timer.Reset(pause)
			elapsed = timer.C
		}
		select {
		case <-b.watched.work:
		case <-elapsed:
		case <-ctx.Done():
			return
		}
	}
}

// readWatched reads a page of states; large ones go on in the background.
func (b *Broker) readWatched(ctx context.Context, large *sync.WaitGroup, page []*watchedState, number int64) {
	b.reads.read.Add(int64(len(page)))
	b.reads.pipelines.Add(1)
	for i, found := range b.readStates(ctx, page) {
		if found.err != nil || found.verdict != stateLarge {
			b.tellState(page[i], number, found)
			continue
		}
		large.Go(func() {
			found.stateRead, found.err = b.readLarge(ctx, page[i].key, nil, found.stateRead)
			b.tellState(page[i], number, found)
		})
	}
}

// tellState wakes those who listen for a state, and ends its read.
func (b *Broker) tellState(s *watchedState, number int64, found stateResult) {
	a := &stateAnswer{fields: found.fields, isTooLarge: found.verdict == stateTooLarge, err: found.err}
	before := b.subscriptions.DeliverValue(s.key, &update{state: a, at: number})
	if b.watched.finish(s) {
		b.heard(before != nil && a.err == nil && !a.isTooLarge && maps.Equal(before.state.fields, a.fields))
	}
}

// stateResult is what was read of a state, or why it was not.
type stateResult struct {
	stateRead
	err error
}

func newStateResult(reply []string, err error) stateResult {
	if err != nil {
		return stateResult{err: translate("read state", err, repeatable)}
	}
	found, err := parseState(reply)
	return stateResult{found, err}
}

// readStates reads states, over the tracker where that can be, so that Redis rings when they
// change.
func (b *Broker) readStates(ctx context.Context, page []*watchedState) []stateResult {
	return readDivided(b, page, func(s *watchedState) string { return s.key },
		func(t *tracker, some []*watchedState) []stateResult { return b.trackStates(ctx, t, some) },
		func(some []*watchedState) []stateResult { return b.pipelineStates(ctx, some) })
}

// pipelineStates reads states over any connection.
func (b *Broker) pipelineStates(ctx context.Context, page []*watchedState) []stateResult {
	cmds := make([]*goredis.Cmd, len(page))
	pipe := b.client.commands.Pipeline()
	for i, s := range page {
		cmds[i] = pipe.EvalSha(ctx, getScript.sha, []string{s.key}, stateArgs(nil)...)
	}
	_, _ = pipe.Exec(ctx) // each of its commands has its own error
	results := make([]stateResult, len(page))
	for i, s := range page {
		reply, err := cmds[i].StringSlice()
		if startsWith(err, "NOSCRIPT") {
			reply, err = getScript.strings(ctx, b.client, repeatable, []string{s.key}, stateArgs(nil)...)
		}
		results[i] = newStateResult(reply, err)
	}
	return results
}

// trackStates reads states over a tracker; nil when that breaks. What its node redirects is
// read elsewhere, and again soon: it is not rung for.
func (b *Broker) trackStates(ctx context.Context, t *tracker, page []*watchedState) []stateResult {
	results := askStates(t, page, "evalsha", getScript.sha)
	if slices.ContainsFunc(results, func(r stateResult) bool { return startsWith(r.err, "NOSCRIPT") }) {
		results = askStates(t, page, "eval", getScript.source)
	}
	for i := range results {
		if isMoved(results[i].err) {
			t.fail(errTrackerBroken)
		} else if !isAsk(results[i].err) {
			continue
		}
		results[i] = b.pipelineStates(ctx, page[i:i+1])[0]
		time.AfterFunc(retryPeriod, func() { b.watched.want(page[i].key) })
	}
	return results
}

// askStates runs the get script for states over a tracker; nil when that breaks.
func askStates(t *tracker, page []*watchedState, command, script string) []stateResult {
	results := make([]stateResult, len(page))
	ask := func(i int) words {
		w := words{command, script, "1", page[i].key}
		w.number(smallState)
		w.number(readableState)
		return w
	}
	if !t.askAll(len(page), ask, func(i int, raw string) { results[i] = parseStateReply(raw) }) {
		return nil
	}
	return results
}

// parseStateReply reads the get script's reply as it is on the wire.
func parseStateReply(raw string) stateResult {
	reply, err := parseReply(raw)
	if err != nil {
		return newStateResult(nil, err)
	}
	list := reply.words()
	return newStateResult(list, reply.err)
}
