package history

import "time"

// Kind is what an Event records.
type Kind string

// The kinds of events.
const (
	Publish       Kind = "publish"        // a publish: Outcome "started" before the call, "ok" after it succeeded
	Deliver       Kind = "deliver"        // a worker received a task
	Complete      Kind = "complete"       // a worker reported a result
	Nack          Kind = "nack"           // a worker is about to return a task
	WatchStart    Kind = "watch_start"    // a watch of a job started
	WatchEvent    Kind = "watch_event"    // a watch received an event
	CursorExpired Kind = "cursor_expired" // the server reported a watch's cursor as lost; the watch resumes at Cursor
	WatchEnd      Kind = "watch_end"      // a watch ended without a result: the run was over, or Outcome "abandoned"
	Failure       Kind = "failure"        // Redis may have lost acknowledged writes from Start to At; Outcome says which
)

// Outcomes of calls and watches.
const (
	Started          = "started" // the call was made; its result is not known
	OK               = "ok"
	AlreadyCompleted = "already_completed" // the job had a result before
	LeaseLost        = "lease_lost"        // the lease was not valid any more
	Unknown          = "unknown"           // the call had no definite result
	Abandoned        = "abandoned"         // the watch timed out
)

// Outcomes of a Failure: what it may have lost.
const (
	LostAll         = "all"
	LostTasks       = "tasks"       // acknowledged publishes
	LostResults     = "results"     // acknowledged results
	LostLeases      = "leases"      // leases and delivery counts
	LostUnconfirmed = "unconfirmed" // leases, and events that watches received: neither waits for replicas
)

// Event is one line of a history.
type Event struct {
	Kind   Kind   `json:"kind"`
	Client string `json:"client"`
	Job    string `json:"job"`
	// Start is when a call was made, or when a failure started.
	Start   time.Time `json:"start"`
	At      time.Time `json:"at"`
	Outcome string    `json:"outcome,omitempty"`
	// Lease identifies a delivery: "ENTRY COUNT".
	Lease  string `json:"lease,omitempty"`
	Cursor string `json:"cursor,omitempty"`
	Status string `json:"status,omitempty"`
	// Organization is that of a task in a fair queue.
	Organization string `json:"organization,omitempty"`
	// Canary is the tenant's mark in the task or event. Another tenant's is a leak.
	Canary string `json:"canary,omitempty"`
}
