package redis

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// In Cluster a slot can move to another node, key by key. The driver follows the
// redirections (MOVED, ASK) of replies that it has read; a raw reply it does not look at,
// and a connection to one node follows nothing.

// redirected runs a command in Cluster, exactly as often as it is called: the driver reads
// the reply, and it is written down again as it was on the wire.
func (c *Client) redirected(ctx context.Context, w words) (*reply, error) {
	args := make([]any, len(w))
	for i := range w {
		args[i] = w[i]
	}
	cmd := onceCmd{goredis.NewCmd(ctx, args...)}
	_ = c.commands.Process(ctx, cmd)
	value, err := cmd.Result()
	c.findMasters(ctx, err)
	if err != nil && !errors.Is(err, goredis.Nil) {
		return nil, err
	}
	return &reply{text: string(appendReply(nil, value))}, nil
}

// findMasters has the driver ask again which nodes are masters when one can't be reached,
// or lost touch with the others. By itself it asks every ten seconds, or when a node that is
// there says MOVED, and calls a dead master until then.
func (c *Client) findMasters(ctx context.Context, err error) {
	cluster, ok := c.commands.(*goredis.ClusterClient)
	var reply goredis.Error
	if ok && err != nil && (!errors.As(err, &reply) || startsWith(err, "CLUSTERDOWN")) {
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

// isMoved is true of a reply that says that another node has the slot; isAsk that the key
// may have moved there already, or is about to.
func isMoved(err error) bool { return startsWith(err, "MOVED ") }
func isAsk(err error) bool   { return startsWith(err, "ASK ") || startsWith(err, "TRYAGAIN") }

func startsWith(err error, word string) bool {
	var reply goredis.Error
	return errors.As(err, &reply) && strings.HasPrefix(reply.Error(), word)
}

// follow reads anew what a tracker's node redirected. It is not rung for, so it is read
// again soon; a tracker of a node that lost the slot ends.
func (b *Broker) follow(ctx context.Context, t *tracker, page []keyRead, replies []keyReply) {
	var again []keyRead
	var at []int
	for i := range replies {
		if isMoved(replies[i].err) {
			t.fail(errTrackerBroken)
		} else if !isAsk(replies[i].err) {
			continue
		}
		again, at = append(again, page[i]), append(at, i)
	}
	if len(again) == 0 {
		return
	}
	followed := b.pipeline(ctx, again)
	for n, i := range at {
		replies[i] = followed[n]
		key := page[i].key
		time.AfterFunc(retryPeriod, func() { b.subscriptions.NotifyKey(key) })
	}
}
