package redis

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// EncodeTask makes the entry of a task: field, value, field, value, …
func EncodeTask(t Task, encoding Encoding) []string {
	if encoding == EncodingJSON {
		return withBinary([]string{fieldData, string(encodeJSON(t))}, t)
	}
	created := ""
	if !t.CreatedAt.IsZero() {
		created = strconv.FormatInt(t.CreatedAt.Unix(), 10)
	}
	entry := make([]string, 0, 2*(len(taskFields)+len(t.Attributes)+len(t.BinaryAttributes)))
	entry = append(entry,
		fieldJobID, t.JobID,
		fieldReportID, t.ReportID,
		fieldOrganizationID, t.OrganizationID,
		fieldGCSURI, t.GCSURI,
		fieldScanners, scannersText(t.Scanners),
		fieldTimeout, strconv.Itoa(int(t.TimeoutSeconds)),
		fieldCreatedAt, created,
	)
	if t.Part != "" {
		entry = append(entry, fieldPart, t.Part)
	}
	if len(t.Attributes) > 0 {
		entry = appendPairs(entry, t.Attributes)
	}
	return withBinary(entry, t)
}

// scannersText is a list as a JSON array.
func scannersText(list []string) string {
	size := 2
	for _, s := range list {
		if !isPlain(s) {
			return string(marshal(list))
		}
		size += len(s) + 3
	}
	b := append(make([]byte, 0, size), '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), s...), '"')
	}
	return string(append(b, ']'))
}

// isPlain is true of text that stands in JSON as it is.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// withBinary adds what JSON can't hold as flat fields; they stand beside data in the
// JSON form, whose raw readers look at data only.
func withBinary(entry []string, t Task) []string {
	for _, name := range slices.Sorted(maps.Keys(t.BinaryAttributes)) {
		entry = append(entry, name, string(t.BinaryAttributes[name]))
	}
	return entry
}

func encodeJSON(t Task) []byte {
	object := make(map[string]any, len(taskFields)+len(t.Attributes))
	for name, value := range t.Attributes {
		object[name] = value
	}
	object[fieldJobID] = t.JobID
	object[fieldReportID] = t.ReportID
	object[fieldOrganizationID] = t.OrganizationID
	object[fieldGCSURI] = t.GCSURI
	object[fieldScanners] = nonNil(t.Scanners)
	object[fieldTimeout] = t.TimeoutSeconds
	if t.Part != "" {
		object[fieldPart] = t.Part
	}
	if !t.CreatedAt.IsZero() {
		object[fieldCreatedAt] = t.CreatedAt.UTC().Truncate(time.Second).Format(time.RFC3339)
	}
	return marshal(object)
}

// marshal writes JSON without escaping <, > and &: people read it.
func marshal(v any) []byte {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err) // strings, numbers and lists of them always encode
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// meta is what this package keeps in an entry beside the task.
type meta struct {
	attempts    int       // deliveries of earlier entries of the same task
	failures    int       // of those, how many a worker gave back
	publishedAt time.Time // zero when the entry itself is the first
	forGroup    string    // the one group that the entry is for, "" for all
}

// DecodeTask reads a task from an entry's fields, in either form. A value that does not
// parse is in the attributes under its own name. An error says why the entry is no task
// at all.
func DecodeTask(fields map[string]string) (Task, error) {
	task, _, err := decodeEntry(fields)
	if err != nil {
		return Task{}, err
	}
	return task, nil
}

// decodeEntry is DecodeTask, with what else an entry holds. The task beside an error has
// its job id, if that much is known.
func decodeEntry(fields map[string]string) (Task, meta, error) {
	list := make([]string, 0, 2*len(fields))
	for name, value := range fields {
		list = append(list, name, value)
	}
	return decodeList(list)
}

// decodeList is decodeEntry for fields in a list, no name twice.
func decodeList(list []string) (Task, meta, error) {
	var t Task
	var m meta
	badName := false
	data, isJSON := lookUp(list, fieldData)
	_, isFlat := lookUp(list, fieldJobID)
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
		case strings.HasPrefix(name, metaPrefix):
			m.set(name, value)
		case isJSON && name == fieldData:
		case isJSON: // beside data, only further fields
			if inside, twice := t.Attributes[name]; twice {
				t.keep(fieldData+"."+name, inside)
			}
			t.keep(name, value)
		default:
			t.setText(name, value)
		}
	}
	if t.JobID == "" {
		if _, unread := t.BinaryAttributes[fieldJobID]; unread {
			return Task{}, m, errors.New("job_id is not UTF-8")
		}
		return Task{}, m, errors.New("no job_id")
	}
	if err := CheckID(fieldJobID, t.JobID); err != nil {
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

func (m *meta) set(name, value string) {
	if name == "argus_for_group" {
		m.forGroup = value
		return
	}
	n, err := number(value)
	if err != nil || n < 0 || n > maxTime*1000 {
		return
	}
	switch name {
	case "argus_attempt":
		m.attempts = int(min(n, 1<<30))
	case "argus_failures":
		m.failures = int(min(n, 1<<30))
	case "argus_published_at":
		m.publishedAt = time.UnixMilli(n)
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
	case fieldJobID:
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
	case fieldPart:
		if value != "" && CheckPart(fieldPart, value) != nil {
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

// keep stores a field among those that are UTF-8 or those that are not: text that is not
// would make a whole response fail.
func keep(text *map[string]string, binary *map[string][]byte, name, value string) {
	switch {
	case !utf8.ValidString(name):
		quoted := strconv.QuoteToASCII(name) // "\xff…": distinct names stay distinct
		set(binary, quoted[1:len(quoted)-1], []byte(value))
	case !utf8.ValidString(value):
		set(binary, name, []byte(value))
	default:
		set(text, name, value)
	}
}

// SplitText parts fields whose name and value are UTF-8 from those that are not.
func SplitText(fields map[string]string) (text map[string]string, binary map[string][]byte) {
	for name, value := range fields {
		keep(&text, &binary, name, value)
	}
	return text, binary
}

func set[V any](m *map[string]V, name string, value V) {
	if *m == nil {
		*m = make(map[string]V)
	}
	(*m)[name] = value
}

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

// jsonText is a JSON string's text, or any other value's JSON.
func jsonText(raw json.RawMessage) string {
	var text string
	if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

func parseScanners(value string) ([]string, bool) {
	value = strings.TrimSpace(value)
	if value == "" {
		return nil, true
	}
	if scanners, ok := plainScanners(value); ok {
		return scanners, true
	}
	if strings.HasPrefix(value, "[") {
		var list []*string
		if json.Unmarshal([]byte(value), &list) != nil {
			return nil, false
		}
		scanners := make([]string, 0, len(list))
		for _, s := range list {
			if s == nil {
				return nil, false
			}
			scanners = append(scanners, *s)
		}
		return scanners, true
	}
	if strings.HasPrefix(value, "{") {
		return nil, false
	}
	if strings.Count(value, ",") >= maxAttributes {
		return nil, false
	}
	var scanners []string
	for s := range strings.SplitSeq(value, ",") {
		if s = strings.TrimSpace(s); s != "" {
			scanners = append(scanners, s)
		}
	}
	return scanners, true
}

// plainScanners reads what scannersText wrote, unless it takes a JSON decoder.
func plainScanners(value string) ([]string, bool) {
	inner, ok1 := strings.CutPrefix(value, `["`)
	inner, ok2 := strings.CutSuffix(inner, `"]`)
	if !ok1 || !ok2 {
		return nil, false
	}
	scanners := strings.Split(inner, `","`)
	for _, s := range scanners {
		if !isPlain(s) {
			return nil, false
		}
	}
	return scanners, true
}

// The times that a protobuf Timestamp can hold.
const (
	minTime = -62135596800
	maxTime = 253402300799
)

// ParseTime reads epoch seconds, whole or with a fraction, or RFC 3339. Milliseconds
// are not guessed at: they lie beyond the year 9999 and don't parse.
func ParseTime(value string) (time.Time, bool) {
	if seconds, err := number(value); err == nil {
		at := time.Unix(seconds, 0).UTC()
		return at, isProtoTime(at)
	}
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		if !(seconds >= minTime && seconds <= maxTime) {
			return time.Time{}, false
		}
		return time.UnixMicro(int64(seconds * 1e6)).UTC(), true
	}
	at, err := time.Parse(time.RFC3339, value)
	return at.UTC(), err == nil && isProtoTime(at)
}

// isProtoTime is true of a time that a protobuf Timestamp can hold.
func isProtoTime(at time.Time) bool { return at.Unix() >= minTime && at.Unix() <= maxTime }
