package serve

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

// logger makes the logger that the settings describe.
func (c *config) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, shell.Usagef("%s: %q is not one of debug, info, warn, error", c.settings.Name("log.level"), c.LogLevel)
	}
	if err := c.settings.OneOf("log.format", c.LogFormat, "text", "json", "auto"); err != nil {
		return nil, shell.UsageError(err)
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "text" || c.LogFormat == "auto" && shell.IsTerminal(w) {
		return slog.New(slog.NewTextHandler(w, options)), nil
	}
	return slog.New(slog.NewJSONHandler(w, options)), nil
}

// driverLog is the Redis driver's log, at debug level: its errors also reach the callers.
type driverLog struct{ log *slog.Logger }

func (d driverLog) Printf(ctx context.Context, format string, args ...any) {
	d.log.DebugContext(ctx, "redis driver", "message", fmt.Sprintf(format, args...))
}
