// Package history records what clients of a task queue did and saw while things broke,
// and checks that what was promised holds.
package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Kind is what an Event is about.
type Kind string

// The kinds.
const (
	Publish  Kind = "publish"  // a task was to be published: Outcome "begun", then perhaps "ok"
	Deliver  Kind = "deliver"  // a worker was given a task
	Complete Kind = "complete" // a worker reported a result
	GiveBack Kind = "giveback" // a worker is about to give a task back
	Follow   Kind = "follow"   // a watch of a job began
	Watch    Kind = "watch"    // a watch saw an event
	Expired  Kind = "expired"  // a watch was told that its cursor is gone, and to go on at Cursor
	Waits    Kind = "waits"    // a watch that has no result ended: all was over, or it was left
	Failure  Kind = "failure"  // Redis may have lost what it acknowledged from Began to At
)

// Outcomes.
const (
	Begun   = "begun" // it was asked for, the answer is not known yet
	OK      = "ok"
	Already = "already" // the job had a result
	Lost    = "lost"    // the lease was
	Unknown = "unknown"
	Left    = "left" // a watch gave up a job that had no result for long
	// What a failure may have lost.
	LostAll     = "all"
	LostTasks   = "tasks"   // publishes that were acknowledged
	LostResults = "results" // results that a worker was told are recorded
	LostLeases  = "leases"  // who holds what, and how often it was delivered
	LostRest    = "rest"    // leases, and events that watches saw: of these nobody was promised that they last
)

// Event is one line of a history.
type Event struct {
	Kind    Kind      `json:"kind"`
	Who     string    `json:"who"`
	Tenant  string    `json:"tenant,omitempty"`
	Job     string    `json:"job"`
	Began   time.Time `json:"began"` // of a call, when it was made
	At      time.Time `json:"at"`
	Outcome string    `json:"outcome,omitempty"`
	// Lease is the delivery: entry id, delivery count.
	Lease  string `json:"lease,omitempty"`
	Cursor string `json:"cursor,omitempty"`
	Status string `json:"status,omitempty"`
	// Organization is the task's, in a queue that is fair between organizations.
	Organization string `json:"organization,omitempty"`
	// Canary is what the task or the event carries of its tenant.
	Canary string `json:"canary,omitempty"`
}

// Log writes the history of one process. Each line is written at once, so that it is
// there when the process is killed.
type Log struct {
	mu   sync.Mutex
	file *os.File
}

// Open opens the history of a process in a folder.
func Open(dir, who string) (*Log, error) {
	file, err := os.OpenFile(filepath.Join(dir, who+".jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return &Log{file: file}, err
}

// Add writes an event.
func (l *Log) Add(e Event) {
	e.At = time.Now()
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings and times
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.file.Write(append(text, '\n')); err != nil {
		panic(err)
	}
}

// Read reads the histories in a folder of those whose names are like a pattern, in the order
// of time. A line that a kill cut off is left out.
func Read(dir, who string) ([]Event, error) {
	files, err := filepath.Glob(filepath.Join(dir, who+".jsonl"))
	if err != nil {
		return nil, err
	}
	var all []Event
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e Event
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				all = append(all, e)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Event) int { return a.At.Compare(b.At) })
	return all, nil
}
