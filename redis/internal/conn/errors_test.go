package conn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

func TestTranslate(t *testing.T) {
	t.Parallel()
	dial := &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
	read := &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
	for name, c := range map[string]struct {
		err    error
		effect Effect
		want   error
	}{
		"dial time-out":        {fmt.Errorf("%w: %w", dial, context.DeadlineExceeded), Once, job.ErrUnavailable},
		"pool time-out":        {goredis.ErrPoolTimeout, Once, job.ErrUnavailable},
		"read time-out, write": {read, Once, job.ErrOutcomeUnknown},
		"read time-out, read":  {read, Repeatable, job.ErrUnavailable},
		"connection lost":      {io.EOF, Once, job.ErrOutcomeUnknown},
		"caller's deadline":    {context.DeadlineExceeded, Once, context.DeadlineExceeded},
		"caller gone":          {context.Canceled, Repeatable, context.Canceled},
	} {
		if got := Translate("test", c.err, c.effect); !errors.Is(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
