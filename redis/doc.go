// Package redis is the documented Go API of Argus Queue on plain Redis commands, without an Argus server.
//
// [Client] is a connection pool with a key prefix, [StreamConsumer] reads and publishes as a plain member of
// a consumer group, without leases, and [StateManager] keeps job states. Their signatures are stable.
//
// The packages below hold the engine of the gRPC service, and may change with any version:
//
//   - job: what lies in Redis, with its codecs, keys, settings and errors
//   - result: exactly one terminal result per job
//   - state: job states
//   - watch: waiting for results, events and states
//   - queue: publishing, leased reads, settling, scheduling
//   - admin: looking into queues, and cleaning up
//   - broker: assembles all of these into the queue engine of one tenant; start there
//   - internal/conn, internal/resp, internal/notify: connections and scripts, the protocol, notifications
//   - redistest: servers for tests
//
// Imports go one way. This package imports state, internal/conn and job; admin and broker import it for its
// Client. A test holds the order.
//
// Import it beside the driver as
//
//	goredis "github.com/redis/go-redis/v9"
package redis
