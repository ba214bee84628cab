package output

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/timestamppb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// ID writes an id or a name for people. One that could be read as several words is quoted.
func ID(id string) string {
	if strings.IndexFunc(id, func(r rune) bool { return r == '"' || unicode.IsSpace(r) || !unicode.IsPrint(r) }) < 0 {
		return id
	}
	return strconv.Quote(id)
}

// OneLine joins the lines of a text.
func OneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// Status writes a status: its text as a worker wrote it, if there is one.
func Status(s argusv1.JobStatus, text string) string {
	if text == "" {
		return strings.ToLower(strings.TrimPrefix(s.String(), "JOB_STATUS_"))
	}
	return text
}

// Clock writes a time in the local time zone; "" for none.
func Clock(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Local().Format(time.DateTime)
}

// FieldRows writes a map as rows, in the order of the names.
func FieldRows(fields map[string]string) [][]string {
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		rows = append(rows, []string{name, fields[name]})
	}
	return rows
}

// Fields writes a map on one line, in the order of the names.
func Fields(fields map[string]string) string {
	var pairs []string
	for _, row := range FieldRows(fields) {
		pairs = append(pairs, row[0]+"="+row[1])
	}
	return strings.Join(pairs, " ")
}
