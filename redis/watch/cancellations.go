package watch

import (
	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
)

// Cancellations receives a signal when this process cancels a job. It does not hear of what other
// processes cancel.
type Cancellations struct {
	inbox         *notify.Inbox[*jobWatch, update]
	watchers      []*Subscriptions
	subscriptions []*subscription
}

// NewCancellations subscribes to the cancellations of some shards. The caller must Close it.
func NewCancellations(shards ...*Subscriptions) *Cancellations {
	c := &Cancellations{inbox: notify.NewInbox[*jobWatch, update](), watchers: shards}
	for _, w := range shards {
		s := &subscription{Inbox: c.inbox, Key: w.keys.CancelledJobs(), IsValue: true}
		c.subscriptions = append(c.subscriptions, s)
		w.Subscribe(s, "")
	}
	return c
}

// Mail receives a signal when a job was cancelled.
func (c *Cancellations) Mail() <-chan struct{} {
	c.inbox.Take(len(c.subscriptions))
	return c.inbox.Mail()
}

// Close ends it.
func (c *Cancellations) Close() {
	for i, w := range c.watchers {
		w.Unsubscribe(c.subscriptions[i])
	}
}
