package watch

import (
	"sync"
	"time"
)

// stateSchedule decides when the watched states are read. Requests for one state are coalesced: it is
// read once for all its watches, and not more often than once per statePause, however often it changes.
type stateSchedule struct {
	mu        sync.Mutex
	states    map[string]*scheduledState
	requested []*scheduledState
	recent    []*scheduledState // in the order in which they were read
	pages     int64             // returned by due so far
	ready     chan struct{}     // holds one signal that something was requested
}

const (
	statePause = 50 * time.Millisecond
	// maxStatePage bounds how many states one pipeline reads.
	maxStatePage = 100
)

// scheduledState is a state that is requested, being read, or was read within statePause. All but the
// key is guarded by stateSchedule.mu.
type scheduledState struct {
	key                    string
	isRequested, isReading bool
	isPushed               bool // Redis has pushed it since it was read last
	readAt                 time.Time
}

func newStateSchedule() *stateSchedule {
	return &stateSchedule{states: make(map[string]*scheduledState), ready: make(chan struct{}, 1)}
}

// request has a state read soon, for all its watches. An update with a higher number than the
// returned one was read after this call.
func (s *stateSchedule) request(key string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(key)
	return s.pages
}

// pushed is request for a state that Redis has pushed.
func (s *stateSchedule) pushed(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(key).isPushed = true
}

// add adds a request. It needs mu.
func (s *stateSchedule) add(key string) *scheduledState {
	state := s.states[key]
	if state == nil {
		state = &scheduledState{key: key}
		s.states[key] = state
	}
	if !state.isRequested {
		state.isRequested = true
		s.requested = append(s.requested, state)
		s.signal()
	}
	return state
}

// due returns a page of the states that may be read now, and its number. When there is none, pause is
// the time until there is one, 0 if nothing is requested. Each state must be passed to finish.
func (s *stateSchedule) due(now time.Time) (page []*scheduledState, number int64, pause time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	kept := s.requested[:0]
	for i, state := range s.requested {
		if len(page) == maxStatePage {
			kept = append(kept, s.requested[i:]...)
			break
		}
		left := statePause - now.Sub(state.readAt)
		switch {
		case left <= 0 && !state.isReading:
			state.isRequested, state.isReading, state.readAt = false, true, now
			page, s.recent = append(page, state), append(s.recent, state)
			continue
		case state.isReading: // finish signals
		case pause == 0 || left < pause:
			pause = left
		}
		kept = append(kept, state)
	}
	clear(s.requested[len(kept):])
	s.requested = kept
	if len(page) > 0 {
		s.pages++
	}
	return page, s.pages, pause
}

// finish ends the read of a state. It reports whether Redis has pushed the state since due returned
// it, or before that.
func (s *stateSchedule) finish(state *scheduledState) (wasPushed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wasPushed = state.isPushed
	state.isReading, state.isPushed = false, false
	if state.isRequested {
		s.signal()
	}
	return wasPushed
}

// forget drops the states that may be read at any time again. It needs mu.
func (s *stateSchedule) forget(now time.Time) {
	n := 0
	for ; n < len(s.recent) && now.Sub(s.recent[n].readAt) > statePause; n++ {
		state := s.recent[n]
		if !state.isRequested && !state.isReading && s.states[state.key] == state {
			delete(s.states, state.key)
		}
	}
	if s.recent = s.recent[n:]; len(s.recent) == 0 {
		s.recent = nil
	}
}

func (s *stateSchedule) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}
