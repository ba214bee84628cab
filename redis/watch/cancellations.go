package watch

import "github.com/hikmaai-io/argus-queue/redis/internal/notify"

// Cancellations receives a signal when this process cancels a job. Cancellations by other processes
// are not signalled.
type Cancellations struct {
	inbox         *notify.Inbox[*jobWatch, update]
	shards        []*Subscriptions
	subscriptions []*subscription // one for each shard
}

// NewCancellations subscribes to the cancellations of some shards. The caller must Close it.
func NewCancellations(shards ...*Subscriptions) *Cancellations {
	c := &Cancellations{inbox: notify.NewInbox[*jobWatch, update](), shards: shards}
	for _, shard := range shards {
		s := &subscription{Inbox: c.inbox, Key: shard.keys.Tenant().CancelledJobs(), IsValue: true}
		c.subscriptions = append(c.subscriptions, s)
		shard.Subscribe(s, "")
	}
	return c
}

// Mail receives a signal when a job was cancelled.
func (c *Cancellations) Mail() <-chan struct{} {
	c.inbox.Take(len(c.subscriptions))
	return c.inbox.Mail()
}

// Close ends the subscriptions.
func (c *Cancellations) Close() {
	for i, shard := range c.shards {
		shard.Unsubscribe(c.subscriptions[i])
	}
}
