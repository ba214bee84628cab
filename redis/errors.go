package redis

import "github.com/hikmaai-io/argus-queue/redis/job"

// What the methods of this package can fail with; test with errors.Is. Package job documents them.
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

// ArgumentError is a bad argument. It is an ErrInvalid.
type ArgumentError = job.ArgumentError

// Names and times that programs use where they choose none themselves.
const (
	DefaultQueue    = job.DefaultQueue
	DefaultGroup    = job.DefaultGroup
	DefaultStateTTL = job.DefaultStateTTL
)
