package conn

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// pingAfter is how long a connection may be silent before it is pinged, and how long it may be
// silent after that before the tracker is considered broken.
const pingAfter = time.Second

// changedPage bounds how many changed keys are reported at once.
const changedPage = 500

// Run receives replies and notifications until the tracker breaks or ctx ends. It calls changed
// with the keys that have changed, nil for all of them; changed must not block.
func (t *Tracker) Run(ctx context.Context, changed func(keys []string)) error {
	stop := context.AfterFunc(ctx, func() { t.Fail(ctx.Err()) })
	defer stop()
	var keys []string
	for {
		if t.in.Buffered() == 0 || len(keys) >= changedPage {
			if len(keys) > 0 {
				changed(keys)
				keys = nil
			}
			if err := t.await(); err != nil {
				return err
			}
		}
		raw, err := resp.Read(t.in)
		if err != nil {
			return err
		}
		if raw[0] != '>' {
			if err := t.answer(raw); err != nil {
				return err
			}
			continue
		}
		push := &resp.Reply{Text: raw}
		if push.List() == 2 && push.Word() == "invalidate" {
			list := push.Words()
			if len(list) == 0 {
				changed(nil)
			}
			keys = append(keys, list...)
		}
		if push.Err != nil {
			return push.Err
		}
	}
}

// await waits until there is input.
func (t *Tracker) await() error {
	for isAsked := false; ; isAsked = true {
		if err := t.conn.SetReadDeadline(time.Now().Add(pingAfter)); err != nil {
			return err
		}
		_, err := t.in.Peek(1)
		var timeout net.Error
		if err == nil || !errors.As(err, &timeout) || !timeout.Timeout() {
			if err == nil { // the rest of a reply may take longer
				err = t.conn.SetReadDeadline(time.Now().Add(t.timeout))
			}
			return err
		}
		if isAsked || !t.Ask(resp.AppendCommand(nil, resp.Command{"ping"}), []Question{func(string) {}}) {
			return ErrTrackerBroken
		}
	}
}
