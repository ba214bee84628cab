package watch

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// fakeRedis answers the commands of watches in process. Tests set replies between synctest.Wait calls.
type fakeRedis struct {
	mu       sync.Mutex
	replies  map[string]string // key → the reply to any command about it, as it is on the wire
	tracked  []string          // keys that were read over a tracking connection
	pooled   []string          // keys that were read over the pool
	unknown  bool              // it does not know the get script by its hash
	commands []string          // names of the commands over tracking connections
}

func newFakeRedis() *fakeRedis { return &fakeRedis{replies: make(map[string]string)} }

func (r *fakeRedis) set(key, reply string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replies[key] = reply
}

// took returns the keys that were read since the last call, in order.
func (r *fakeRedis) took() (tracked, pooled []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	tracked, pooled = r.tracked, r.pooled
	r.tracked, r.pooled = nil, nil
	return tracked, pooled
}

func (r *fakeRedis) reply(command []string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := command[1]
	if strings.HasPrefix(command[0], "eval") {
		key = command[3]
	}
	r.commands = append(r.commands, command[0])
	r.tracked = append(r.tracked, key)
	if r.unknown && command[0] == "evalsha" {
		return "-NOSCRIPT No matching script\r\n"
	}
	if reply, ok := r.replies[key]; ok {
		return reply
	}
	return "*0\r\n"
}

func (r *fakeRedis) read(key string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pooled = append(r.pooled, key)
	if reply, ok := r.replies[key]; ok && !strings.HasPrefix(reply, "-MOVED") && !strings.HasPrefix(reply, "-ASK") {
		return reply
	}
	return "*0\r\n"
}

// pooledStreams and pooledStates are the connection pool, which follows redirections.
func (r *fakeRedis) pooledStreams(_ context.Context, page []streamRead) []streamReply {
	replies := make([]streamReply, len(page))
	for i, read := range page {
		replies[i] = read.parse(r.read(read.key))
	}
	return replies
}

func (r *fakeRedis) pooledStates(_ context.Context, page []*scheduledState) []stateResult {
	results := make([]stateResult, len(page))
	for i, s := range page {
		results[i] = parseState(r.read(s.key))
	}
	return results
}

// addSnapshots knows no job.
func (r *fakeRedis) addSnapshots(context.Context, []streamRead, []streamReply) {}

// fakeConn is a tracking connection to a fakeRedis.
type fakeConn struct {
	redis  *fakeRedis
	pushed chan []string
	broken chan error
	end    sync.Once
}

func (r *fakeRedis) connect() *fakeConn {
	return &fakeConn{redis: r, pushed: make(chan []string), broken: make(chan error)}
}

func (c *fakeConn) Run(ctx context.Context, changed func([]string)) error {
	for {
		select {
		case keys := <-c.pushed:
			changed(keys)
		case <-c.broken:
			return conn.ErrTrackerBroken
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *fakeConn) Fail(error) { c.end.Do(func() { close(c.broken) }) }

func (c *fakeConn) isBroken() bool {
	select {
	case <-c.broken:
		return true
	default:
		return false
	}
}

func (c *fakeConn) Ask(commands []byte, questions []conn.Question) bool {
	if c.isBroken() {
		return false
	}
	in := bufio.NewReader(bytes.NewReader(commands))
	for _, q := range questions {
		raw, err := resp.Read(in)
		if err != nil {
			panic(err)
		}
		q(c.redis.reply((&resp.Reply{Text: raw}).Words()))
	}
	return true
}

func (c *fakeConn) AskAll(n int, command func(int) resp.Command, take func(int, string)) bool {
	if c.isBroken() {
		return false
	}
	for i := range n {
		take(i, c.redis.reply(command(i)))
	}
	return true
}

// wire encodes lists and strings as Redis does.
func wire(value any) string {
	switch v := value.(type) {
	case string:
		return fmt.Sprintf("$%d\r\n%s\r\n", len(v), v)
	case []any:
		text := fmt.Sprintf("*%d\r\n", len(v))
		for _, element := range v {
			text += wire(element)
		}
		return text
	}
	return fmt.Sprintf("-ERR the fake has no reply of type %T\r\n", value)
}

// wireEntries is a stream's entries with some ids.
func wireEntries(ids ...string) string {
	list := make([]any, len(ids))
	for i, id := range ids {
		list[i] = []any{id, []any{"status", "running"}}
	}
	return wire(list)
}

// wireState is the get script's reply for a state.
func wireState(fields ...any) string {
	return wire(slices.Concat([]any{"STATE", "-1", "running", ""}, fields))
}
