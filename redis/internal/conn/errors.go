package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Effect says what it means when a command was sent and its reply was lost.
type Effect bool

const (
	// Repeatable: a read, or a write that may happen twice.
	Repeatable Effect = true
	// Once: a write that must not be repeated blindly.
	Once Effect = false
)

// Replies that mean "not now": nothing was executed.
var awayReplies = []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN",
	"BUSY Redis", "MISCONF", "NOREPLICAS", "UNBLOCKED", "NOAUTH", "WRONGPASS", "max number of clients"}

// Translate turns the driver's errors into those of package job, the one place where that is done:
// ErrKeyType, ErrOutOfMemory, ErrNotPermitted, ErrUnavailable (nothing was executed, or it may be
// repeated) and ErrOutcomeUnknown. A caller's own cancellation or deadline stays as it is. A script's
// error may have its code anywhere in its text: Redis 6.2 and miniredis put their own words first.
func Translate(operation string, err error, e Effect) error {
	if err == nil {
		return nil
	}
	wrap := func(sentinel error) error { return fmt.Errorf("%s: %w: %w", operation, sentinel, err) }

	var reply goredis.Error
	if errors.As(err, &reply) && !errors.Is(err, goredis.Nil) {
		text := reply.Error()
		switch {
		case strings.Contains(text, "WRONGTYPE"):
			return wrap(job.ErrKeyType)
		case strings.Contains(text, "OOM command not allowed"):
			return wrap(job.ErrOutOfMemory)
		case IsDenial(text):
			return wrap(job.ErrNotPermitted)
		}
		for _, away := range awayReplies {
			if strings.Contains(text, away) {
				return wrap(job.ErrUnavailable)
			}
		}
		if IsMoved(err) || IsAsk(err) { // more often than the driver follows
			return wrap(job.ErrUnavailable)
		}
		return fmt.Errorf("%s: %w", operation, err)
	}
	switch {
	case notExecuted(err): // first: the time-out of a dial also calls itself a passed deadline
		return wrap(job.ErrUnavailable)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", operation, err) // the caller interprets its own end
	case e == Repeatable:
		return wrap(job.ErrUnavailable)
	}
	return wrap(job.ErrOutcomeUnknown)
}

// IsDenial reports whether an error reply is a denial by an ACL, of a command or inside a script.
// Redis 6.2 gives a script's denial no code.
func IsDenial(text string) bool {
	return strings.Contains(text, "NOPERM") || strings.Contains(text, "The user executing the script")
}

// notExecutedErrors are errors of commands that never reached Redis, or were aborted there.
var notExecutedErrors = []error{goredis.ErrPoolTimeout, goredis.ErrPoolExhausted, goredis.ErrClosed,
	errNoMaster, errReplica, errReplaced, errNoNode, ErrNotExecuted}

// notExecuted reports whether a command was certainly not executed.
func notExecuted(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	return slices.ContainsFunc(notExecutedErrors, func(e error) bool { return errors.Is(err, e) })
}

// isRedirection reports whether a reply says that the node did not execute a command because it
// does not have its keys, or does not know whether it has.
func isRedirection(err error) bool {
	return IsMoved(err) || IsAsk(err) || StartsWith(err, "CLUSTERDOWN")
}

// IsMoved reports whether a reply says that another node has the slot.
func IsMoved(err error) bool { return StartsWith(err, "MOVED ") }

// IsAsk reports whether a reply says that a key may have moved to another node already, or is
// about to.
func IsAsk(err error) bool { return StartsWith(err, "ASK ") || StartsWith(err, "TRYAGAIN") }

// StartsWith reports whether err is an error reply that begins with a word.
func StartsWith(err error, word string) bool {
	var reply goredis.Error
	return errors.As(err, &reply) && strings.HasPrefix(reply.Error(), word)
}
