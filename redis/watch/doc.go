// Package watch follows jobs: it finds out which watched keys have changed, reads them once for all
// watches, and hands each watch the events and state changes that it has not seen.
//
// Changes are found in two ways. While Redis tracks keys, [Hub] learns of a change from Redis
// (tracking.go). Where Redis does not track keys, or cannot remember all of them, they are polled
// (polling.go). Both end in [Subscriptions], which fans a change out to the [Watcher] of each caller;
// task streams with waiting workers are notified through [Waitlists].
//
// A pushed change takes this way: the goroutine of the tracking connection receives the name of the
// key, reads it over the same connection and delivers the reply to the inbox of every watch of the key.
// The caller's goroutine takes it from there in [Watcher.Next]. Only a watch whose cursor the reply does
// not reach reads for itself (event_reader.go).
package watch
