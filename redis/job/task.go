package job

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// Task is one piece of work of a job.
type Task struct {
	JobID          string
	ReportID       string
	OrganizationID string
	GCSURI         string
	Scanners       []string
	TimeoutSeconds int32
	// Part is the part of its job that the task is; "" means the whole job.
	Part      string
	CreatedAt time.Time // kept to the second; zero when unknown
	// Attributes are further fields. They also hold values of the fields above that do not parse, verbatim
	// and under their own names.
	Attributes map[string]string
	// BinaryAttributes are further fields whose value is not UTF-8.
	BinaryAttributes map[string][]byte
}

// The fields of a task, in an entry and in the JSON form.
const (
	FieldJobID          = "job_id"
	fieldReportID       = "report_id"
	fieldOrganizationID = "organization_id"
	fieldGCSURI         = "gcs_uri"
	fieldScanners       = "scanners"
	fieldTimeout        = "timeout_seconds"
	fieldCreatedAt      = "created_at"
	FieldPart           = "part"
	// FieldData is the only field of the JSON form.
	FieldData = "data"
)

// taskFields are the names that an attribute must not have.
var taskFields = []string{FieldJobID, fieldReportID, fieldOrganizationID, fieldGCSURI,
	fieldScanners, fieldTimeout, fieldCreatedAt, FieldPart, FieldData}

// Encoding is the form in which a queue's tasks and completions are written. Both forms are always read.
type Encoding string

const (
	// EncodingFields writes flat string fields.
	EncodingFields Encoding = "fields"
	// EncodingJSON writes one field, data, that holds a JSON object.
	EncodingJSON Encoding = "json"
)

// Check reports what is wrong with a task before it is published, as an *ArgumentError. The field of the
// error is relative to the task, such as ".job_id"; PrefixField adds the task's place in the request.
func (t *Task) Check() error {
	if err := CheckID(".job_id", t.JobID); err != nil {
		return err
	}
	if err := t.checkText(); err != nil {
		return err
	}
	if !IsProtoTime(t.CreatedAt) {
		return Invalid(".created_at", "is not a time in the years 1 to 9999; are these milliseconds?")
	}
	if t.Part != "" {
		if err := checkPart(".part", t.Part); err != nil {
			return err
		}
	}
	if t.TimeoutSeconds < 0 {
		return Invalid(".timeout_seconds", "must not be negative")
	}
	return t.checkAttributes()
}

// checkText checks the fields that hold arbitrary text.
func (t *Task) checkText() error {
	if err := checkValue(".report_id", t.ReportID); err != nil {
		return err
	}
	if err := checkValue(".organization_id", t.OrganizationID); err != nil {
		return err
	}
	if err := checkValue(".gcs_uri", t.GCSURI); err != nil {
		return err
	}
	total := 0
	for _, scanner := range t.Scanners {
		if err := checkValue(".scanners", scanner); err != nil {
			return err
		}
		total += len(scanner) + 1
	}
	return CheckSize(".scanners", max(0, total-1))
}

func (t *Task) checkAttributes() error {
	if err := CheckFields(".attributes", t.Attributes, taskFields...); err != nil {
		return err
	}
	if err := CheckFields(".binary_attributes", t.BinaryAttributes, taskFields...); err != nil {
		return err
	}
	for name := range t.BinaryAttributes {
		if _, twice := t.Attributes[name]; twice {
			return Invalid(fmt.Sprintf(".binary_attributes[%q]", Clip(name)), "is in attributes too")
		}
	}
	return nil
}

// checkValue checks the text of a field.
func checkValue(field, value string) error {
	if !utf8.ValidString(value) {
		return Invalid(field, "must be UTF-8")
	}
	return CheckSize(field, len(value))
}
