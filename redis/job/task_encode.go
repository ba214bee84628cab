package job

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// EncodeTask makes the entry of a task: field, value, field, value, … In the JSON form the
// attributes that are named in numbers, and those that existing workers parse as numbers in any
// case, are written as numbers where their value is one.
func EncodeTask(t Task, encoding Encoding, numbers ...string) []string {
	if encoding == EncodingJSON {
		return withBinary([]string{FieldData, string(encodeTaskJSON(t, numbers))}, t)
	}
	created := ""
	if !t.CreatedAt.IsZero() {
		created = strconv.FormatInt(t.CreatedAt.Unix(), 10)
	}
	entry := make([]string, 0, 2*(len(taskFields)+len(t.Attributes)+len(t.BinaryAttributes)))
	entry = append(entry,
		FieldJobID, t.JobID,
		fieldReportID, t.ReportID,
		fieldOrganizationID, t.OrganizationID,
		fieldGCSURI, t.GCSURI,
		fieldScanners, scannersText(t.Scanners),
		fieldTimeout, strconv.Itoa(int(t.TimeoutSeconds)),
		fieldCreatedAt, created,
	)
	if t.Part != "" {
		entry = append(entry, FieldPart, t.Part)
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
			return string(EncodeJSON(list))
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

// numericAttributes are attributes that existing workers parse as numbers.
var numericAttributes = []string{"retry_count", "ttl_seconds"}

func encodeTaskJSON(t Task, numbers []string) []byte {
	object := make(map[string]any, len(taskFields)+len(t.Attributes))
	for name, value := range t.Attributes {
		if (slices.Contains(numericAttributes, name) || slices.Contains(numbers, name)) && isJSONNumber(value) {
			object[name] = json.RawMessage(value)
			continue
		}
		object[name] = value
	}
	object[FieldJobID] = t.JobID
	object[fieldReportID] = t.ReportID
	object[fieldOrganizationID] = t.OrganizationID
	object[fieldGCSURI] = t.GCSURI
	object[fieldScanners] = nonNil(t.Scanners)
	object[fieldTimeout] = t.TimeoutSeconds
	if t.Part != "" {
		object[FieldPart] = t.Part
	}
	if !t.CreatedAt.IsZero() {
		object[fieldCreatedAt] = t.CreatedAt.UTC().Truncate(time.Second).Format(time.RFC3339)
	}
	return EncodeJSON(object)
}

// isJSONNumber is true of text that is a number in JSON, as it is.
func isJSONNumber(text string) bool {
	return text != "" && (text[0] == '-' || text[0] >= '0' && text[0] <= '9') && json.Valid([]byte(text)) && !strings.ContainsAny(text, " \t\r\n")
}

// EncodeJSON writes JSON without escaping <, > and &: people read it.
func EncodeJSON(v any) []byte {
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
