// Package redis is Argus Queue's Redis layer: task streams with leases, job state,
// completion events, all under one key prefix. It can be used without gRPC.
//
// [Client], [StreamConsumer] and [StateManager] are thin: one Redis command a
// method. [Broker] is what the gRPC service is made of: leased reads, fenced
// settling, exactly one terminal result per job, watches.
//
// Import it beside the driver as
//
//	goredis "github.com/redis/go-redis/v9"
package redis
