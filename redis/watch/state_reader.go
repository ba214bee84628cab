package watch

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

// stateReader reads the states that are watched.
type stateReader struct {
	*conn.Shard
	states   *state.Store
	watches  *Subscriptions
	tracking *tracking
	events   *eventReader
	watched  *stateReads
}

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

// Run reads the states that are wanted, until ctx ends.
func (r *stateReader) Run(ctx context.Context) {
	var large sync.WaitGroup
	defer large.Wait()
	timer := time.NewTimer(conn.LongPeriod)
	defer timer.Stop()
	for {
		page, number, pause := r.watched.due(time.Now())
		if len(page) > 0 {
			r.readWatched(ctx, &large, page, number)
			continue
		}
		var elapsed <-chan time.Time
		if pause > 0 {
			timer.Reset(pause)
			elapsed = timer.C
		}
		select {
		case <-r.watched.work:
		case <-elapsed:
		case <-ctx.Done():
			return
		}
	}
}

// readWatched reads a page of states; large ones go on in the background.
func (r *stateReader) readWatched(ctx context.Context, large *sync.WaitGroup, page []*watchedState, number int64) {
	r.events.read.Add(int64(len(page)))
	r.events.pipelines.Add(1)
	for i, found := range r.readStates(ctx, page) {
		if found.err != nil || found.Verdict != state.Large {
			r.deliver(page[i], number, found)
			continue
		}
		large.Go(func() {
			found.Stored, found.err = r.states.ReadLarge(ctx, page[i].key, nil, found.Stored)
			r.deliver(page[i], number, found)
		})
	}
}

// deliver wakes those who listen for a state, and ends its read.
func (r *stateReader) deliver(s *watchedState, number int64, found stateResult) {
	a := &stateAnswer{fields: found.Fields, isTooLarge: found.Verdict == state.TooLarge, err: found.err}
	before := r.watches.DeliverValue(s.key, &update{state: a, at: number})
	if r.watched.finish(s) {
		r.tracking.count(before != nil && a.err == nil && !a.isTooLarge && maps.Equal(before.state.fields, a.fields))
	}
}

// stateResult is what was read of a state, or why it was not.
type stateResult struct {
	state.Stored
	err error
}

func newStateResult(reply []string, err error) stateResult {
	if err != nil {
		return stateResult{err: conn.Translate("read state", err, conn.Repeatable)}
	}
	found, err := state.ParseReply(reply)
	return stateResult{found, err}
}

// readStates reads states, over the tracker where that can be, so that Redis rings when they
// change.
func (r *stateReader) readStates(ctx context.Context, page []*watchedState) []stateResult {
	return readDivided(r.tracking, page, func(s *watchedState) string { return s.key },
		func(t *conn.Tracker, some []*watchedState) []stateResult { return r.trackStates(ctx, t, some) },
		func(some []*watchedState) []stateResult { return r.pipelineStates(ctx, some) })
}

// pipelineStates reads states over any connection.
func (r *stateReader) pipelineStates(ctx context.Context, page []*watchedState) []stateResult {
	cmds := make([]*goredis.Cmd, len(page))
	pipe := r.Commands.Pipeline()
	for i, s := range page {
		cmds[i] = pipe.EvalSha(ctx, conn.GetScript.SHA, []string{s.key}, state.ReadArgs(nil)...)
	}
	_, _ = pipe.Exec(ctx) // each of its commands has its own error
	results := make([]stateResult, len(page))
	for i, s := range page {
		reply, err := cmds[i].StringSlice()
		if conn.StartsWith(err, "NOSCRIPT") {
			reply, err = conn.GetScript.Strings(ctx, r.Conn, conn.Repeatable, []string{s.key}, state.ReadArgs(nil)...)
		}
		results[i] = newStateResult(reply, err)
	}
	return results
}

// trackStates reads states over a tracker; nil when that breaks. What its node redirects is
// read elsewhere, and again soon: it is not rung for.
func (sr *stateReader) trackStates(ctx context.Context, t *conn.Tracker, page []*watchedState) []stateResult {
	results := askStates(t, page, "evalsha", conn.GetScript.SHA)
	if slices.ContainsFunc(results, func(r stateResult) bool { return conn.StartsWith(r.err, "NOSCRIPT") }) {
		results = askStates(t, page, "eval", conn.GetScript.Source)
	}
	for i := range results {
		if conn.IsMoved(results[i].err) {
			t.Fail(conn.ErrTrackerBroken)
		} else if !conn.IsAsk(results[i].err) {
			continue
		}
		results[i] = sr.pipelineStates(ctx, page[i:i+1])[0]
		time.AfterFunc(conn.RetryPeriod, func() { sr.watched.want(page[i].key) })
	}
	return results
}

// askStates runs the get script for states over a tracker; nil when that breaks.
func askStates(t *conn.Tracker, page []*watchedState, command, script string) []stateResult {
	results := make([]stateResult, len(page))
	ask := func(i int) resp.Command {
		w := resp.Command{command, script, "1", page[i].key}
		w.Number(state.SmallBytes)
		w.Number(state.ReadableBytes)
		return w
	}
	if !t.AskAll(len(page), ask, func(i int, raw string) { results[i] = parseStateReply(raw) }) {
		return nil
	}
	return results
}

// parseStateReply reads the get script's reply as it is on the wire.
func parseStateReply(raw string) stateResult {
	reply, err := resp.Parse(raw)
	if err != nil {
		return newStateResult(nil, err)
	}
	list := reply.Words()
	return newStateResult(list, reply.Err)
}
