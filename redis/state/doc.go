// Package state keeps the states of jobs: one hash of string fields for each job, whose size is bounded.
package state
