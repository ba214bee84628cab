package conn

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// Batcher sends the commands and script calls of a Conn, those of concurrent callers together,
// to the node that has the Conn's keys: the server or the master that Sentinel names, or in
// Cluster the master of the prefix's slot. The Conns of one client share a pipeline to each
// node. In Cluster it follows redirections; nothing is ever executed twice.
type Batcher struct {
	nodes *nodeBatchers
	// single is the only node; nil in Cluster.
	single *nodeBatcher
	// cluster and prefix determine the node in Cluster.
	cluster *goredis.ClusterClient
	prefix  string
}

// ErrNotExecuted is returned for a transaction that the node aborted because it does not have
// the keys: none of its commands was executed. Send it again, or do the same by a script.
var ErrNotExecuted = errors.New("the transaction was aborted, because its keys are moving to another node")

// newBatcher returns the batcher of a client, for a prefix.
func newBatcher(client goredis.UniversalClient, prefix string) *Batcher {
	b := &Batcher{nodes: &nodeBatchers{byAddr: make(map[string]*nodeBatcher)}, prefix: prefix}
	switch c := client.(type) {
	case *goredis.ClusterClient:
		b.cluster = c
	case *goredis.Client:
		b.single, _ = b.nodes.of(c)
	}
	return b
}

// withPrefix returns a batcher for another prefix that shares the pipelines.
func (b *Batcher) withPrefix(prefix string) *Batcher {
	if b == nil || b.cluster == nil {
		return b
	}
	return &Batcher{nodes: b.nodes, cluster: b.cluster, prefix: prefix}
}

// Do sends commands, and waits until they have their replies or ctx ends; in the latter case
// they may be sent nevertheless. Errors are in the commands.
func (b *Batcher) Do(ctx context.Context, commands ...goredis.Cmder) error {
	return b.Send(ctx, &Unit{Commands: commands, Done: make(chan struct{})})
}

// Call has a script handle an item, perhaps together with those of other callers; the commands
// follow it.
func (b *Batcher) Call(ctx context.Context, call *BatchedCall, e Effect, after ...goredis.Cmder) ([]resp.Element, error) {
	if err := b.Send(ctx, &Unit{call: call, After: after, Done: make(chan struct{})}); err != nil {
		return nil, Translate(call.Script.Name, err, e)
	}
	return call.reply, Translate(call.Script.Name, call.err, e)
}

// Send sends a unit as Do sends commands. ErrNotExecuted: see there.
func (b *Batcher) Send(ctx context.Context, u *Unit) error {
	node := b.single
	if b.cluster != nil {
		var err error
		if node, err = b.node(ctx); err != nil {
			return err
		}
	}
	if err := node.send(ctx, u); err != nil || b.cluster == nil {
		return err
	}
	return b.follow(ctx, u)
}

// close ends the pipelines of all prefixes and waits for them.
func (b *Batcher) close() {
	if b != nil {
		b.nodes.close()
	}
}
