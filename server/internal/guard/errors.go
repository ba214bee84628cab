package guard

import (
	"context"
	"errors"
	"fmt"
)

// The reasons for which a call fails.
var (
	ErrBusy             = errors.New("a limit of the server is reached")
	ErrSlowReader       = errors.New("the client does not read what it is sent")
	ErrResponseTooLarge = errors.New("the response is too large")
	// ErrSlowRequest is a context's cause: it ends a call whose request does not arrive.
	ErrSlowRequest = fmt.Errorf("the request did not arrive in time: %w", context.DeadlineExceeded)
)
