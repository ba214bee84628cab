package redis

import (
	"context"
	"time"
)

// MoveDue moves the delayed tasks that are due, as the broker does by itself.
func (b *Broker) MoveDue(ctx context.Context) error {
	_, err := b.moveDue(ctx)
	return err
}

// Dismiss removes consumers as Clean does, with another limit to how long they are idle.
func (b *Broker) Dismiss(ctx context.Context, queue string, idle time.Duration) error {
	return b.dismiss(ctx, queue, idle)
}

// ForgetQueue forgets an empty queue as Clean does, with another limit to how long it is so.
func (b *Broker) ForgetQueue(ctx context.Context, queue string, idle time.Duration) error {
	return b.forgetQueue(ctx, queue, idle)
}

// Leave removes consumers that hold nothing.
func (b *Broker) Leave(ctx context.Context, queue, group, consumer string) error {
	_, err := leaveScript.run(ctx, b.client, repeatable, []string{b.keys.tasks(queue)}, group, consumer)
	return err
}

// Heal corrects the stored status of a job, as the broker does in the background.
func (b *Broker) Heal(ctx context.Context, jobID string) error { return b.heal(ctx, jobID) }

// ScriptName is the name of the script with a hash; "eval" if it is none, but a text.
func ScriptName(sha string) string {
	for _, s := range []*script{publishScript, fairPublishScript, publishEachScript, readScript, ackScript, releaseScript, moveScript, extendScript,
		stateScript, getScript, redriveScript, trimScript, leaveScript, completeScript, nackScript, cancelScript, dropScript, healScript} {
		if s.sha == sha {
			return s.name
		}
	}
	return "eval"
}

// DecodeEvent reads an entry of a completion stream.
func DecodeEvent(jobID, id string, fields map[string]string) Event {
	return decodeEvent(jobID, id, fields)
}
