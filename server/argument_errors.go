package server

import (
	"errors"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// argumentErrors returns all argument errors in a tree of wrapped and joined errors.
func argumentErrors(err error) []*job.ArgumentError {
	switch e := err.(type) {
	case *job.ArgumentError:
		return []*job.ArgumentError{e}
	case interface{ Unwrap() []error }:
		var found []*job.ArgumentError
		for _, inner := range e.Unwrap() {
			found = append(found, argumentErrors(inner)...)
		}
		return found
	case interface{ Unwrap() error }:
		return argumentErrors(e.Unwrap())
	}
	return nil
}

// prefixFields adds a prefix to the fields of argument errors: the path of the message that
// they are in. Other errors stay as they are.
func prefixFields(prefix string, err error) error {
	arguments := argumentErrors(err)
	if len(arguments) == 0 {
		return err
	}
	errs := make([]error, len(arguments))
	for i, a := range arguments {
		errs[i] = &job.ArgumentError{Field: prefix + a.Field, Problem: a.Problem}
	}
	return errors.Join(errs...)
}

func missing(field string) error {
	return &job.ArgumentError{Field: field, Problem: "must be set"}
}
