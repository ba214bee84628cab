package conn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// In Cluster a slot can move to another node, key by key. A node that does not have the keys of
// a command executes nothing and replies with a redirection. The driver follows the redirections
// of replies that it has read; raw replies it does not parse, and a client of one node follows nothing.

// errNoNode: the Cluster's nodes do not say which of them has the keys.
var errNoNode = errors.New("no node of the Cluster is known to have the keys")

// node returns the batcher of the master that has the prefix's slot.
func (b *Batcher) node(ctx context.Context) (*nodeBatcher, error) {
	master, err := b.cluster.MasterForKey(ctx, b.prefix)
	if err != nil {
		b.reload(err)
		if ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", errNoNode, err)
		}
		return nil, err
	}
	return b.nodes.of(master)
}

// follow repeats those commands of a unit that the node redirected, one by one in their order,
// through the driver's Cluster client. A command that got any other error is not repeated. It
// fails with ErrNotExecuted for a transaction, which can't be repeated so.
func (b *Batcher) follow(ctx context.Context, u *Unit) (err error) {
	if u.isTransaction() {
		if isAborted(u.Commands) {
			err = ErrNotExecuted
			b.cluster.ReloadState(ctx)
		}
		b.reload(u.Commands[len(u.Commands)-1].Err())
	} else {
		b.repeat(ctx, u.Commands)
	}
	if u.call != nil {
		b.reload(u.call.err)
		if isRedirection(u.call.err) {
			b.repeatCall(ctx, u.call)
		}
	}
	b.repeat(ctx, u.After)
	return err
}

// isAborted reports whether a transaction was not executed because of a redirection: of one of its
// commands when it was queued, or of all of them by EXEC. Only an error reply to EXEC proves it.
func isAborted(transaction []goredis.Cmder) bool {
	var reply goredis.Error
	return errors.As(replyError(transaction[len(transaction)-1]), &reply) &&
		slices.ContainsFunc(transaction, func(c goredis.Cmder) bool { return isRedirection(replyError(c)) })
}

// repeat sends those of the commands again that were redirected.
func (b *Batcher) repeat(ctx context.Context, commands []goredis.Cmder) {
	for _, command := range commands {
		err := replyError(command)
		if err == nil {
			continue
		}
		b.reload(err)
		if !isRedirection(err) {
			continue
		}
		raw, isRaw := command.(*goredis.RawCmd)
		if !isRaw {
			command.SetErr(nil)
			_ = b.cluster.Process(ctx, onceCmd{command})
			b.reload(command.Err())
			continue
		}
		reply, err := b.redirected(ctx, rawWords(raw))
		raw.SetErr(err)
		if err == nil {
			raw.SetVal([]byte(reply.Text))
		}
	}
}

// repeatCall sends one caller's part of a script call again, by itself: none of the parts was
// executed.
func (b *Batcher) repeatCall(ctx context.Context, call *BatchedCall) {
	alone := sharedCall{parts: []*BatchedCall{call}}
	reply, err := b.redirected(ctx, alone.words(false))
	if isUnknownScript(err) {
		reply, err = b.redirected(ctx, alone.words(true))
	}
	alone.deliver(reply, err)
}

// redirected runs a command through the Cluster client, exactly as often as it is called: the
// driver reads the reply, and it is encoded again as it was on the wire.
func (b *Batcher) redirected(ctx context.Context, w resp.Command) (*resp.Reply, error) {
	args := make([]any, len(w))
	for i := range w {
		args[i] = w[i]
	}
	cmd := goredis.NewCmd(ctx, args...)
	_ = b.cluster.Process(ctx, onceCmd{cmd})
	value, err := cmd.Result()
	b.reload(err)
	if err != nil && !errors.Is(err, goredis.Nil) {
		return nil, err
	}
	return &resp.Reply{Text: string(appendReply(nil, value))}, nil
}

// onceCmd is a command that the driver must not repeat by itself. MaxRetries says so for a
// single server; in Cluster, where redirections need attempts, this does.
type onceCmd struct{ goredis.Cmder }

// NoRetry is the driver's interface.
func (onceCmd) NoRetry() bool { return true }

// reload has the driver ask again which nodes are masters when one can't be reached, or lost
// touch with the others. By itself it asks every ten seconds, or when a node that is there says
// MOVED, and calls a dead master until then.
func (b *Batcher) reload(err error) {
	var reply goredis.Error
	if b.cluster != nil && err != nil && (!errors.As(err, &reply) || StartsWith(err, "CLUSTERDOWN") || IsMoved(err)) {
		b.cluster.ReloadState(context.Background())
	}
}

// rawWords are the words of a raw command.
func rawWords(cmd *goredis.RawCmd) resp.Command {
	w := make(resp.Command, len(cmd.Args()))
	for i, arg := range cmd.Args() {
		if s, ok := arg.(*string); ok {
			w[i] = *s
		} else {
			w[i] = fmt.Sprint(arg)
		}
	}
	return w
}

// replyError is a command's error; an error reply also of a raw command, whose reply the driver does not parse.
func replyError(command goredis.Cmder) error {
	if raw, ok := command.(*goredis.RawCmd); ok && raw.Err() == nil && len(raw.Val()) > 0 && raw.Val()[0] == '-' {
		_, err := RawReply(raw)
		return err
	}
	return command.Err()
}

// appendReply encodes a reply in RESP2.
func appendReply(text []byte, value any) []byte {
	line := func(kind byte, rest string) []byte { return append(append(append(text, kind), rest...), "\r\n"...) }
	switch v := value.(type) {
	case string:
		text = line('$', strconv.Itoa(len(v)))
		return append(append(text, v...), "\r\n"...)
	case int64:
		return line(':', strconv.FormatInt(v, 10))
	case []any:
		text = line('*', strconv.Itoa(len(v)))
		for _, element := range v {
			text = appendReply(text, element)
		}
		return text
	case error:
		return line('-', v.Error())
	}
	return line('$', "-1")
}
