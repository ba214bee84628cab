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

// stateReader reads the states that are due, each once for all its watches. Small states are read many
// at a time, large ones over connections that carry nothing else.
type stateReader struct {
	schedule      *stateSchedule
	states        *keyReader[*scheduledState, stateResult]
	readLarge     func(context.Context, *scheduledState, state.Stored) (state.Stored, error)
	subscriptions *Subscriptions
	limit         *trackingLimit
	trips         *roundTrips
}

func newStateReader(c *conn.Conn, store *state.Store, schedule *stateSchedule, subscriptions *Subscriptions, limit *trackingLimit, active *activeConn, trips *roundTrips) *stateReader {
	states := &keyReader[*scheduledState, stateResult]{
		active:        active,
		subscriptions: subscriptions,
		tracked:       trackStates,
		pooled:        func(ctx context.Context, page []*scheduledState) []stateResult { return pooledStates(ctx, c, page) },
		reread:        func(key string) { schedule.request(key) },
	}
	readLarge := func(ctx context.Context, s *scheduledState, found state.Stored) (state.Stored, error) {
		return store.ReadLarge(ctx, s.key, nil, found)
	}
	return &stateReader{schedule: schedule, states: states, readLarge: readLarge, subscriptions: subscriptions, limit: limit, trips: trips}
}

// stateUpdate is what was read of a state. It is shared by the watches of the state, so it must not be
// changed.
type stateUpdate struct {
	fields     map[string]string
	isTooLarge bool
	err        error
}

// Run reads the states that are requested, until ctx ends.
func (r *stateReader) Run(ctx context.Context) {
	var large sync.WaitGroup
	defer large.Wait()
	timer := time.NewTimer(conn.LongPeriod)
	defer timer.Stop()
	for {
		page, number, pause := r.schedule.due(time.Now())
		if len(page) > 0 {
			r.readPage(ctx, &large, page, number)
			continue
		}
		var elapsed <-chan time.Time
		if pause > 0 {
			timer.Reset(pause)
			elapsed = timer.C
		}
		select {
		case <-r.schedule.ready:
		case <-elapsed:
		case <-ctx.Done():
			return
		}
	}
}

// readPage reads a page of states and delivers them. Large ones are read in the background.
func (r *stateReader) readPage(ctx context.Context, large *sync.WaitGroup, page []*scheduledState, number int64) {
	r.trips.add(len(page))
	for i, found := range r.states.read(ctx, page) {
		if found.err != nil || found.Verdict != state.Large {
			r.deliver(page[i], number, found)
			continue
		}
		large.Go(func() {
			found.Stored, found.err = r.readLarge(ctx, page[i], found.Stored)
			r.deliver(page[i], number, found)
		})
	}
}

// deliver passes a state on to its watches, and ends its read.
func (r *stateReader) deliver(s *scheduledState, number int64, found stateResult) {
	read := &stateUpdate{fields: found.Fields, isTooLarge: found.Verdict == state.TooLarge, err: found.err}
	before := r.subscriptions.DeliverValue(s.key, &update{state: read, seq: number})
	if r.schedule.finish(s) {
		r.limit.pushed(before != nil && read.err == nil && !read.isTooLarge && maps.Equal(before.state.fields, read.fields))
	}
}

// stateResult is what was read of a state, or why it was not read.
type stateResult struct {
	state.Stored
	err error
}

func (s *scheduledState) watchedKey() string { return s.key }

func (r stateResult) failure() error { return r.err }

func newStateResult(reply []string, err error) stateResult {
	if err != nil {
		return stateResult{err: conn.Translate("read state", err, conn.Repeatable)}
	}
	found, err := state.ParseReply(reply)
	return stateResult{found, err}
}

// pooledStates reads a page over the connection pool, in one pipeline.
func pooledStates(ctx context.Context, c *conn.Conn, page []*scheduledState) []stateResult {
	cmds := make([]*goredis.Cmd, len(page))
	pipe := c.Commands.Pipeline()
	for i, s := range page {
		cmds[i] = pipe.EvalSha(ctx, conn.GetScript.SHA, []string{s.key}, state.ReadArgs(nil)...)
	}
	_, _ = pipe.Exec(ctx) // each of its commands has its own error
	results := make([]stateResult, len(page))
	for i, s := range page {
		reply, err := cmds[i].StringSlice()
		if isNoScript(err) {
			reply, err = conn.GetScript.Strings(ctx, c, conn.Repeatable, []string{s.key}, state.ReadArgs(nil)...)
		}
		results[i] = newStateResult(reply, err)
	}
	return results
}

// trackStates reads a page over a tracking connection; nil when that breaks.
func trackStates(c trackingConn, page []*scheduledState) []stateResult {
	results := askStates(c, page, "evalsha", conn.GetScript.SHA)
	if slices.ContainsFunc(results, func(r stateResult) bool { return isNoScript(r.err) }) {
		results = askStates(c, page, "eval", conn.GetScript.Source)
	}
	return results
}

func isNoScript(err error) bool { return conn.StartsWith(err, "NOSCRIPT") }

// askStates runs the get script for states over a tracking connection; nil when that breaks.
func askStates(c trackingConn, page []*scheduledState, command, script string) []stateResult {
	results := make([]stateResult, len(page))
	ask := func(i int) resp.Command {
		w := resp.Command{command, script, "1", page[i].key}
		w.Number(state.SmallBytes)
		w.Number(state.ReadableBytes)
		return w
	}
	if !c.AskAll(len(page), ask, func(i int, raw string) { results[i] = parseState(raw) }) {
		return nil
	}
	return results
}

// parseState decodes the reply of the get script as it is on the wire.
func parseState(raw string) stateResult {
	reply, err := resp.Parse(raw)
	if err != nil {
		return newStateResult(nil, err)
	}
	list := reply.Words()
	return newStateResult(list, reply.Err)
}
