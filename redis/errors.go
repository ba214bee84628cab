package redis

import "github.com/hikmaai-io/argus-queue/redis/job"

// The sentinels of this package; test with errors.Is. Package job documents them.
var (
	ErrUnavailable    = job.ErrUnavailable
	ErrOutcomeUnknown = job.ErrOutcomeUnknown
	ErrOutOfMemory    = job.ErrOutOfMemory
	ErrNotPermitted   = job.ErrNotPermitted
	ErrKeyType        = job.ErrKeyType
	ErrJobNotFound    = job.ErrJobNotFound
	ErrFieldNotFound  = job.ErrFieldNotFound
	ErrInvalid        = job.ErrInvalid
)

// ArgumentError describes a bad argument. It is an ErrInvalid.
type ArgumentError = job.ArgumentError

// Defaults of the service, for programs that use the same queue, group and TTL.
const (
	DefaultQueue    = job.DefaultQueue
	DefaultGroup    = job.DefaultGroup
	DefaultStateTTL = job.DefaultStateTTL
)
