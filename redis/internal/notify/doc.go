// Package notify wakes goroutines that wait for a key to change. It knows neither Redis nor tasks.
//
// [Waitlists] are for workers: each key has one waitlist per group, first come, first served, and a
// notification wakes as many waiters as there may be entries. [Subscriptions] are for watches: every
// subscription to a key gets every notification.
//
// A notification means "look", not "here it is". A waiter enqueues first, then looks, then waits,
// so no notification is missed, and one too many costs one look. Notifying never blocks.
package notify

// signal puts a signal into a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
