package conn

import (
	"context"
	"fmt"
	"strconv"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Script is a Lua script.
type Script struct {
	Name   string
	Source string
	SHA    string // hexadecimal SHA-1 of the source
}

// sender sends a command once and returns its reply.
type sender func(context.Context, resp.Command) (*resp.Reply, error)

// isUnknownScript reports whether a server does not know a script: nothing was executed.
func isUnknownScript(err error) bool { return StartsWith(err, "NOSCRIPT") }

// Run runs a script by its hash, and with its source where Redis does not know it yet. e says
// what running it twice would do. Errors are those of Translate.
func (s *Script) Run(ctx context.Context, c *Conn, e Effect, keys []string, args ...any) (any, error) {
	command := make([]any, 0, 3+len(keys)+len(args))
	command = append(command, "evalsha", s.SHA, len(keys))
	for _, key := range keys {
		command = append(command, key)
	}
	command = append(command, args...)
	reply, err := c.Do(ctx, command...)
	if isUnknownScript(err) {
		command[0], command[1] = "eval", s.Source
		reply, err = c.Do(ctx, command...)
	}
	return reply, Translate(s.Name, err, e)
}

// Strings runs a script that returns a list of strings.
func (s *Script) Strings(ctx context.Context, c *Conn, e Effect, keys []string, args ...any) ([]string, error) {
	reply, err := s.Run(ctx, c, e, keys, args...)
	if err != nil {
		return nil, err
	}
	return resp.StringList(reply)
}

// Word runs a script that returns one string.
func (s *Script) Word(ctx context.Context, c *Conn, e Effect, keys []string, args ...any) (string, error) {
	reply, err := s.Run(ctx, c, e, keys, args...)
	if err != nil {
		return "", err
	}
	word, ok := reply.(string)
	if !ok {
		return "", fmt.Errorf("%s: unexpected reply %T", s.Name, reply)
	}
	return word, nil
}

// Send is Run for a script whose reply is read as it is on the wire.
func (s *Script) Send(ctx context.Context, c *Conn, e Effect, keys []string, args resp.Command) (*resp.Reply, error) {
	return s.sendBy(ctx, c.raw, e, keys, args)
}

// sendBy is Send through a sender.
func (s *Script) sendBy(ctx context.Context, send sender, e Effect, keys []string, args resp.Command) (*resp.Reply, error) {
	w := make(resp.Command, 0, 3+len(keys)+len(args))
	w.Add("evalsha", s.SHA, strconv.Itoa(len(keys)))
	w.Add(keys...)
	w.Add(args...)
	r, err := send(ctx, w)
	if isUnknownScript(err) {
		w[0], w[1] = "eval", s.Source
		r, err = send(ctx, w)
	}
	return r, Translate(s.Name, err, e)
}

// SendDurably is Send that waits for the replicas that the queue wants. When they are too few,
// the call fails like one whose reply was lost: ErrUnavailable, or ErrOutcomeUnknown if it can't
// be repeated.
func (s *Script) SendDurably(ctx context.Context, c *Conn, e Effect, queue job.QueueSettings, keys []string, args resp.Command) (*resp.Reply, error) {
	if queue.WaitReplicas == 0 {
		return s.Send(ctx, c, e, keys, args)
	}
	return s.sendBy(ctx, func(ctx context.Context, w resp.Command) (*resp.Reply, error) { return c.replicated(ctx, queue, w) }, e, keys, args)
}
