package server

import "github.com/hikmaai-io/argus-queue/redis"

// Broker is what all services together need from the store. Each service declares its part
// beside its use; *redis.Broker and *redis.Shards document and implement the methods.
type Broker interface {
	Pinger
	TaskStore
	StateStore
	EventStore
	AdminStore
}

var _, _ Broker = (*redis.Broker)(nil), (*redis.Shards)(nil)
