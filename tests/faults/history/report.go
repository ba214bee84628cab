package history

import "fmt"

// Violation is a guarantee that was broken.
type Violation struct {
	Invariant string // I1 to I9
	Job       string
	Detail    string
}

func (v Violation) String() string { return fmt.Sprintf("%s %s: %s", v.Invariant, v.Job, v.Detail) }

// Report is the result of a check.
type Report struct {
	Published, Delivered, Completed int
	LostTasks                       int // acknowledged publishes without a task or a result
	LostResults                     int // acknowledged results that are not stored
	Duplicated                      int // results after a job's first
	Rejected                        int // results rejected because of a lost lease
	Watched                         int // events received by watches
	Violations                      []Violation
}

// Add adds the report of another tenant.
func (r *Report) Add(o Report) {
	r.Published, r.Delivered, r.Completed = r.Published+o.Published, r.Delivered+o.Delivered, r.Completed+o.Completed
	r.LostTasks, r.LostResults, r.Duplicated = r.LostTasks+o.LostTasks, r.LostResults+o.LostResults, r.Duplicated+o.Duplicated
	r.Rejected, r.Watched = r.Rejected+o.Rejected, r.Watched+o.Watched
	r.Violations = append(r.Violations, o.Violations...)
}
