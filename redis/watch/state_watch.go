package watch

import "github.com/hikmaai-io/argus-queue/redis/job"

// stateWatch is the state of a job that is followed.
type stateWatch struct {
	subscription
	reported map[string]string
	held     *stateUpdate // reported after the job's snapshot
	// isTooLarge: it was reported that the state is too large.
	isTooLarge bool
	// last is the job's terminal event. It is reported after the state that was written with it, which
	// is an update with a higher number than lastSeq.
	last    *job.Event
	lastSeq int64
}

// isEnding reports whether the terminal event was read and waits for the state.
func (j *jobWatch) isEnding() bool { return j.state != nil && j.state.last != nil }

// takeState makes a frame of what was read of a job's state.
func (w *Watcher) takeState(j *jobWatch, u *update) {
	if !w.follows(j) || w.hasFailed(&j.state.subscription, u.state.err) {
		return
	}
	if j.isNew {
		j.state.held = u.state
		return
	}
	w.reportState(j, u.state)
	if j.isEnding() && u.seq > j.state.lastSeq {
		w.finish(j, j.state.last)
	}
}

// reportState makes a frame of what has changed in a job's state, if anything has.
func (w *Watcher) reportState(j *jobWatch, read *stateUpdate) {
	change := j.state.changeTo(read)
	if len(change.Fields)+len(change.Removed) > 0 || change.Truncated {
		w.frames = append(w.frames, Frame{JobID: j.jobID, Cursor: j.cursor, State: &change})
	}
}

// changeTo returns what has changed since the last reported state, and takes the new one as reported.
func (s *stateWatch) changeTo(read *stateUpdate) StateChange {
	change := StateChange{Fields: make(map[string]string), Truncated: read.isTooLarge && !s.isTooLarge}
	if s.isTooLarge = read.isTooLarge; s.isTooLarge {
		return change
	}
	for name, value := range read.fields {
		if old, isKnown := s.reported[name]; (!isKnown || old != value) && !job.IsOwnField(name) {
			change.Fields[name] = value
		}
	}
	for name := range s.reported {
		if _, isThere := read.fields[name]; !isThere && !job.IsOwnField(name) {
			change.Removed = append(change.Removed, name)
		}
	}
	s.reported = read.fields
	return change
}
