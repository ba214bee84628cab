package conn

import (
	"context"
	"unsafe"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// AppendStrings appends strings to a command's arguments.
func AppendStrings(args []any, list []string) []any {
	for _, s := range list {
		args = append(args, s)
	}
	return args
}

// Raw returns a command of words whose reply stays as it is on the wire. The words must not
// change until the command has its reply.
func Raw(ctx context.Context, w resp.Command) *goredis.RawCmd {
	args := make([]any, len(w))
	for i := range w {
		args[i] = &w[i]
	}
	return goredis.NewRawCmd(ctx, args...)
}

// raw runs a command exactly as often as it is called, and returns its reply.
func (c *Conn) raw(ctx context.Context, w resp.Command) (*resp.Reply, error) {
	cmd := Raw(ctx, w)
	if err := c.Batcher.Do(ctx, cmd); err != nil {
		return nil, err
	}
	return RawReply(cmd)
}

// RawReply returns the reply to a command that Raw made. An error reply is an error that
// implements the driver's interface of one.
func RawReply(cmd *goredis.RawCmd) (*resp.Reply, error) {
	raw, err := cmd.Result()
	if err != nil {
		return nil, err
	}
	return resp.Parse(unsafe.String(unsafe.SliceData(raw), len(raw))) // no other reference to raw writes to it
}
