// Package job holds what Argus Queue keeps in Redis, as Go values: tasks, completion events, results,
// statuses, leases, cursors, keys and settings, with their codecs and checks, and the errors of the engine.
//
// The package talks to no server: its functions are pure. It imports redis/internal/resp only, for the
// arguments of commands and their numbers, and every package of the engine, the server included, imports it.
//
// Raw peers read and write the same keys with plain Redis commands, so decoding is lenient: a value that
// does not parse is kept under its own name, and nothing that a peer writes makes a call fail as a whole.
// What a caller writes is checked strictly, and an error about it is an [ArgumentError].
package job
