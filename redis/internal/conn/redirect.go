package conn

import (
	"context"
	"errors"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// In Cluster a slot can move to another node, key by key. The driver follows the
// redirections (MOVED, ASK) of replies that it has read; a raw reply it does not look at,
// and a connection to one node follows nothing.

// redirected runs a command in Cluster, exactly as often as it is called: the driver reads
// the reply, and it is written down again as it was on the wire.
func (c *Conn) redirected(ctx context.Context, w resp.Command) (*resp.Reply, error) {
	args := make([]any, len(w))
	for i := range w {
		args[i] = w[i]
	}
	cmd := onceCmd{goredis.NewCmd(ctx, args...)}
	_ = c.Commands.Process(ctx, cmd)
	value, err := cmd.Result()
	c.findMasters(ctx, err)
	if err != nil && !errors.Is(err, goredis.Nil) {
		return nil, err
	}
	return &resp.Reply{Text: string(appendReply(nil, value))}, nil
}

// findMasters has the driver ask again which nodes are masters when one can't be reached,
// or lost touch with the others. By itself it asks every ten seconds, or when a node that is
// there says MOVED, and calls a dead master until then.
func (c *Conn) findMasters(ctx context.Context, err error) {
	cluster, ok := c.Commands.(*goredis.ClusterClient)
	var reply goredis.Error
	if ok && err != nil && (!errors.As(err, &reply) || StartsWith(err, "CLUSTERDOWN")) {
		cluster.ReloadState(ctx)
	}
}

// appendReply writes a reply as it is in RESP2.
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

// IsMoved is true of a reply that says that another node has the slot; isAsk that the key
// may have moved there already, or is about to.
func IsMoved(err error) bool { return StartsWith(err, "MOVED ") }

func IsAsk(err error) bool { return StartsWith(err, "ASK ") || StartsWith(err, "TRYAGAIN") }

func StartsWith(err error, word string) bool {
	var reply goredis.Error
	return errors.As(err, &reply) && strings.HasPrefix(reply.Error(), word)
}
