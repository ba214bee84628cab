package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// EntryMeta is what this package keeps in an entry beside the task.
type EntryMeta struct {
	Attempts    int       // deliveries of earlier entries of the same task
	Failures    int       // of those, how many a worker gave back
	PublishedAt time.Time // zero when the entry itself is the first
	ForGroup    string    // the one group that the entry is for, "" for all
}

// DecodeTask reads a task from an entry's fields, in either form. A value that does not
// parse is in the attributes under its own name. An error says why the entry is no task
// at all.
func DecodeTask(fields map[string]string) (Task, error) {
	task, _, err := DecodeEntry(fields)
	if err != nil {
		return Task{}, err
	}
	return task, nil
}

// DecodeEntry is DecodeTask, with what else an entry holds. The task beside an error has
// its job id, if that much is known.
func DecodeEntry(fields map[string]string) (Task, EntryMeta, error) {
	list := make([]string, 0, 2*len(fields))
	for name, value := range fields {
		list = append(list, name, value)
	}
	return DecodePairs(list)
}

// DecodePairs is decodeEntry for fields in a list, no name twice.
func DecodePairs(list []string) (Task, EntryMeta, error) {
	list = distinct(list)
	var t Task
	var m EntryMeta
	badName := false
	data, isJSON := lookUp(list, FieldData)
	_, isFlat := lookUp(list, FieldJobID)
	isJSON = isJSON && !isFlat
	if isJSON {
		if err := t.decodeJSON(data); err != nil {
			return Task{}, m, err
		}
	}
	for i := 0; i+1 < len(list); i += 2 {
		name, value := list[i], list[i+1]
		switch {
		case !utf8.ValidString(name):
			badName = true
		case IsOwnField(name):
			m.set(name, value)
		case isJSON && name == FieldData:
		case isJSON: // beside data, only further fields
			if inside, twice := t.Attributes[name]; twice {
				t.keep(FieldData+"."+name, inside)
			}
			t.keep(name, value)
		default:
			t.setText(name, value)
		}
	}
	if t.JobID == "" {
		if _, unread := t.BinaryAttributes[FieldJobID]; unread {
			return Task{}, m, errors.New("job_id is not UTF-8")
		}
		return Task{}, m, errors.New("no job_id")
	}
	if err := CheckID(FieldJobID, t.JobID); err != nil {
		return Task{}, m, err
	}
	if badName {
		return Task{JobID: t.JobID}, m, errors.New("the name of a field is not UTF-8")
	}
	if n := len(t.Attributes) + len(t.BinaryAttributes); n > maxAttributes {
		return Task{JobID: t.JobID}, m, fmt.Errorf("%d fields are more than the %d that a task can have", n, maxAttributes)
	}
	return t, m, nil
}

func lookUp(list []string, name string) (string, bool) {
	for i := 0; i+1 < len(list); i += 2 {
		if list[i] == name {
			return list[i+1], true
		}
	}
	return "", false
}

func (m *EntryMeta) set(name, value string) {
	if name == "argus_for_group" {
		m.ForGroup = value
		return
	}
	n, err := resp.Number(value)
	if err != nil || n < 0 || n > maxTime*1000 {
		return
	}
	switch name {
	case "argus_attempt":
		m.Attempts = int(min(n, 1<<30))
	case "argus_failures":
		m.Failures = int(min(n, 1<<30))
	case "argus_published_at":
		m.PublishedAt = time.UnixMilli(n)
	}
}

// maxAttributes is how many further fields a raw peer's task may have, and how many
// scanners its comma list.
const maxAttributes = 1024

// setText takes a field of the flat form.
func (t *Task) setText(name, value string) {
	if !utf8.ValidString(value) || !t.parse(name, value) {
		t.keep(name, value)
	}
}

// parse takes a known field's text; false when it is not known or does not parse.
func (t *Task) parse(name, value string) bool {
	switch name {
	case FieldJobID:
		t.JobID = value
	case fieldReportID:
		t.ReportID = value
	case fieldOrganizationID:
		t.OrganizationID = value
	case fieldGCSURI:
		t.GCSURI = value
	case fieldScanners:
		list, ok := parseScanners(value)
		if !ok {
			return false
		}
		t.Scanners = list
	case FieldPart:
		if value != "" && checkPart(FieldPart, value) != nil {
			return false
		}
		t.Part = value
	case fieldTimeout:
		seconds, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return value == ""
		}
		t.TimeoutSeconds = int32(seconds)
	case fieldCreatedAt:
		at, ok := ParseTime(value)
		if !ok {
			return value == ""
		}
		t.CreatedAt = at
	default:
		return false
	}
	return true
}

// keep stores a further field.
func (t *Task) keep(name, value string) { keep(&t.Attributes, &t.BinaryAttributes, name, value) }

// decodeJSON takes the JSON form. Known members may be of a neighbouring type (a
// number as a string, scanners as a comma list); any other member is an attribute:
// a string as it is, anything else as its JSON text. A known member that is null is as
// if it were not there.
func (t *Task) decodeJSON(data string) error {
	if !utf8.ValidString(data) {
		return errors.New("data is not UTF-8")
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(data), &object); err != nil || object == nil {
		return errors.New("data is not a JSON object")
	}
	for name, raw := range object {
		if string(raw) == "null" && slices.Contains(taskFields, name) {
			continue
		}
		if value := jsonText(raw); !t.parse(name, value) {
			t.keep(name, value)
		}
	}
	return nil
}
