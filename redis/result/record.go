package result

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Record runs a script that may record a result besides its other work (nack, cancel, drop), until it has no
// more questions. The script gets these keys before its own: job state, completion stream, scratch stream,
// active mark, examined position, record of the parts; and after its own arguments: TTL of the state, TTL of
// the events, and the write.
//
// It returns the script's reply, and notifies watches if the job may have a result now. ErrUnavailable:
// concurrent writes to the job made the script ask too often.
func (r *Recorder) Record(ctx context.Context, script *conn.Script, effect conn.Effect, w Write, keys []string, head []any) ([]string, error) {
	keys = append([]string{r.Keys.State(w.JobID), r.Keys.Completion(w.JobID), r.Keys.Tenant().Scratch(), r.Keys.Active(w.JobID),
		r.Keys.Scan(w.JobID), r.Keys.Parts(w.JobID)}, keys...)
	head = append(head, r.Settings.StateTTL.Milliseconds(), r.Settings.CompletionTTL.Milliseconds())
	now := time.Now()
	for w.asked <= maxQuestions {
		reply, err := script.Strings(ctx, r.Conn, effect, keys, conn.AppendStrings(slices.Clone(head), w.appendArgs(nil, now))...)
		if err != nil {
			return nil, err
		}
		if w.answer(reply) {
			continue
		}
		switch reply[0] {
		case conn.VerdictDead, conn.VerdictCancelled, conn.VerdictDropped:
			r.watches.StateWritten(w.JobID)
			r.watches.EventsWritten(w.JobID)
		}
		return reply, nil
	}
	return nil, errContended(script)
}

// errContended is the error of a script that asked more than maxQuestions.
func errContended(script *conn.Script) error {
	return fmt.Errorf("%s: %w: too many concurrent writes to the job; retry", script.Name, job.ErrUnavailable)
}
