package conn

import (
	"slices"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// Unit is what goes out together: commands in their order, or a part of a script call.
type Unit struct {
	// Commands go out first. Where they are a transaction, MULTI is the first and EXEC the last.
	Commands []goredis.Cmder
	call     *BatchedCall
	// After are commands that go out after all others.
	After []goredis.Cmder
	// Done must be made by the caller; the batcher closes it when a worker has sent the unit.
	Done chan struct{}
}

// isTransaction reports whether the commands are MULTI … EXEC.
func (u *Unit) isTransaction() bool {
	return len(u.Commands) > 1 && u.Commands[0].Name() == "multi"
}

// BatchedCall is one caller's part of a script call. The script takes the head's keys and
// arguments, which are the same for all that share the call, and after them the keys and
// arguments of any number of items; it returns a list with PerItem elements for each.
type BatchedCall struct {
	Script             *Script
	HeadKeys, HeadArgs resp.Command
	Keys, Args         resp.Command
	PerItem            int

	reply []resp.Element
	err   error
}

// matches reports whether two calls can be one.
func (c *BatchedCall) matches(other *BatchedCall) bool {
	return c.Script == other.Script && slices.Equal(c.HeadKeys, other.HeadKeys) && slices.Equal(c.HeadArgs, other.HeadArgs)
}

// sharedCall is a script call of several callers.
type sharedCall struct {
	parts   []*BatchedCall
	command *goredis.RawCmd
}

// join adds a part to a call that has room for it, or to a new one.
func join(calls []*sharedCall, part *BatchedCall) []*sharedCall {
	for _, c := range calls {
		if len(c.parts) < sharedItems && c.parts[0].matches(part) {
			c.parts = append(c.parts, part)
			return calls
		}
	}
	return append(calls, &sharedCall{parts: []*BatchedCall{part}})
}

// words are those of the call, by the script's hash or with its source.
func (c *sharedCall) words(withSource bool) resp.Command {
	first := c.parts[0]
	keys, args := len(first.HeadKeys), len(first.HeadArgs)
	for _, part := range c.parts {
		keys, args = keys+len(part.Keys), args+len(part.Args)
	}
	w := make(resp.Command, 0, 3+keys+args)
	if withSource {
		w.Add("eval", first.Script.Source)
	} else {
		w.Add("evalsha", first.Script.SHA)
	}
	w.Add(strconv.Itoa(keys))
	w.Add(first.HeadKeys...)
	for _, part := range c.parts {
		w.Add(part.Keys...)
	}
	w.Add(first.HeadArgs...)
	for _, part := range c.parts {
		w.Add(part.Args...)
	}
	return w
}

// deliver hands each caller its part of the reply.
func (c *sharedCall) deliver(reply *resp.Reply, err error) {
	want := len(c.parts) * c.parts[0].PerItem
	if err == nil && reply.List() != want {
		reply.Fail("it has another length")
		err = reply.Err
	}
	for _, part := range c.parts {
		for range part.PerItem {
			if err == nil {
				part.reply = append(part.reply, reply.Element())
				err = reply.Err
			}
		}
		part.err = err
	}
}
