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

// maxAttributes is the maximum number of attributes of a raw publisher's task, and of scanners in its comma
// list.
const maxAttributes = 1024

// EntryMeta is what the service keeps in an entry beside the task.
type EntryMeta struct {
	Attempts    int       // deliveries of earlier entries of the same task
	Failures    int       // how many of those a worker returned with Nack
	PublishedAt time.Time // zero when this entry is the first of its task
	ForGroup    string    // the only group that the entry is for; "" means all
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

// DecodeTask reads a task from an entry's fields, in either form. A value that does not parse is kept in the
// attributes under its own name. An error says why the entry holds no task at all.
func DecodeTask(fields map[string]string) (Task, error) {
	task, _, err := DecodeEntry(fields)
	if err != nil {
		return Task{}, err
	}
	return task, nil
}

// DecodeEntry is DecodeTask that also returns what the service keeps in the entry. Beside an error the task
// has its job id, if the entry has a valid one.
func DecodeEntry(fields map[string]string) (Task, EntryMeta, error) {
	list := make([]string, 0, 2*len(fields))
	for name, value := range fields {
		list = append(list, name, value)
	}
	return DecodePairs(list)
}

// DecodePairs is DecodeEntry for an entry given as name, value, … A name may occur more than once, as
// EntryFields describes.
func DecodePairs(list []string) (Task, EntryMeta, error) {
	list = distinct(list)
	var t Task
	var m EntryMeta
	data, isJSON := lookUp(list, FieldData)
	_, isFlat := lookUp(list, FieldJobID)
	isJSON = isJSON && !isFlat
	if isJSON {
		if err := t.decodeJSON(data); err != nil {
			return Task{}, m, err
		}
	}
	badName := t.decodePairs(list, &m, isJSON)
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

// decodePairs reads the flat fields of an entry, which in the JSON form are those beside data. It reports
// whether a name is not UTF-8.
func (t *Task) decodePairs(list []string, m *EntryMeta, isJSON bool) (badName bool) {
	for i := 0; i+1 < len(list); i += 2 {
		name, value := list[i], list[i+1]
		switch {
		case !utf8.ValidString(name):
			badName = true
		case IsOwnField(name):
			m.set(name, value)
		case isJSON && name == FieldData:
		case isJSON: // an attribute, whatever its name
			if inside, twice := t.Attributes[name]; twice {
				t.keep(FieldData+"."+name, inside)
			}
			t.keep(name, value)
		case !utf8.ValidString(value) || !t.parse(name, value):
			t.keep(name, value)
		}
	}
	return badName
}

func lookUp(list []string, name string) (string, bool) {
	for i := 0; i+1 < len(list); i += 2 {
		if list[i] == name {
			return list[i+1], true
		}
	}
	return "", false
}

// decodeJSON reads the JSON form. Known members may have a related type: a number as a string, scanners as a
// comma list. A known member that is null counts as missing. Any other member becomes an attribute, a string
// as its text and other values as their JSON.
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

// parse stores the text of a known field. It reports false when the field is unknown or does not parse.
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
	case FieldPart:
		if value != "" && checkPart(FieldPart, value) != nil {
			return false
		}
		t.Part = value
	case fieldScanners:
		list, ok := parseScanners(value)
		if ok {
			t.Scanners = list
		}
		return ok
	case fieldTimeout:
		seconds, err := strconv.ParseInt(value, 10, 32)
		if err == nil {
			t.TimeoutSeconds = int32(seconds)
		}
		return err == nil || value == ""
	case fieldCreatedAt:
		at, ok := ParseTime(value)
		if ok {
			t.CreatedAt = at
		}
		return ok || value == ""
	default:
		return false
	}
	return true
}

// keep stores a field as an attribute.
func (t *Task) keep(name, value string) { keep(&t.Attributes, &t.BinaryAttributes, name, value) }
