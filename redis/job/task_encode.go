package job

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
)

// numericAttributes are the attributes that existing workers parse as numbers.
var numericAttributes = []string{"retry_count", "ttl_seconds"}

// EncodeTask returns the entry of a task: field, value, … In the JSON form the attributes named in numbers,
// and numericAttributes, are written as numbers where their value is one.
func EncodeTask(t Task, encoding Encoding, numbers ...string) []string {
	if encoding == EncodingJSON {
		return appendBinary([]string{FieldData, string(encodeTaskJSON(t, numbers))}, t)
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
		fieldScanners, encodeScanners(t.Scanners),
		fieldTimeout, strconv.Itoa(int(t.TimeoutSeconds)),
		fieldCreatedAt, created,
	)
	if t.Part != "" {
		entry = append(entry, FieldPart, t.Part)
	}
	if len(t.Attributes) > 0 {
		entry = appendPairs(entry, t.Attributes)
	}
	return appendBinary(entry, t)
}

// appendBinary appends the values that JSON cannot hold as flat fields. In the JSON form they stand beside
// data, where raw workers, which read data only, ignore them.
func appendBinary(entry []string, t Task) []string {
	for _, name := range slices.Sorted(maps.Keys(t.BinaryAttributes)) {
		entry = append(entry, name, string(t.BinaryAttributes[name]))
	}
	return entry
}

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
