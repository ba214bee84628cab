package server

import "github.com/hikmaai-io/argus-queue/redis/broker"

// Broker is what all services together need from the store. Each service declares its part
// beside its use; *broker.Broker and *broker.Broker document and implement the methods.
type Broker interface {
	Pinger
	TaskStore
	StateStore
	EventStore
	AdminStore
}

var _, _ Broker = (*broker.Broker)(nil), (*broker.Broker)(nil)
