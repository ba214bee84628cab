// Package queue is a task's life in its queue: published, leased by a reader, extended, and settled,
// requeued or cancelled. It works on one shard.
//
// Each Lua script is called by one typed function: a struct with its arguments encodes them into KEYS
// and ARGV, in the order that the script's header lists.
package queue
