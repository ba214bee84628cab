package job

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// distinct tells names apart that stand in an entry twice, which only a raw peer can have
// written: "name", "name.2", …
func distinct(list []string) []string {
	isTwice := func(i int) bool {
		for j := 0; j < i; j += 2 {
			if list[j] == list[i] {
				return true
			}
		}
		return false
	}
	if len(list) > 64 { // a map is faster, and any order will do
		return distinctMany(list)
	}
	for i := 2; i+1 < len(list); i += 2 {
		if isTwice(i) {
			return distinctMany(list)
		}
	}
	return list
}

func distinctMany(list []string) []string {
	fields := EntryFields(list)
	list = make([]string, 0, 2*len(fields))
	for name, value := range fields {
		list = append(list, name, value)
	}
	return list
}

// EntryFields makes a map of an entry. A name that stands there twice, which only a raw
// peer can have written, is told apart: "name", "name.2", …
func EntryFields(list []string) map[string]string {
	fields := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		name := list[i]
		for n := 2; ; n++ {
			if _, twice := fields[name]; !twice {
				break
			}
			name = fmt.Sprintf("%s.%d", list[i], n)
		}
		fields[name] = list[i+1]
	}
	return fields
}

func ParseCell(cell any) int64 {
	text, _ := cell.(string)
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

// EntryTime is when an entry was appended, zero when its id doesn't say.
func EntryTime(id string) time.Time {
	ms, _, ok := SplitCursor(id)
	if !ok || ms > maxTime*1000 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}

// Unpack reads what the scripts' pack wrote: "3:abc0:2:xy".
func Unpack(s string) ([]string, bool) {
	var list []string
	for s != "" {
		length, rest, ok := strings.Cut(s, ":")
		n, err := strconv.Atoi(length)
		if !ok || err != nil || n < 0 || n > len(rest) {
			return nil, false
		}
		list, s = append(list, rest[:n]), rest[n:]
	}
	return list, len(list) > 0
}

func TextFields(values map[string]any) map[string]string {
	fields := make(map[string]string, len(values))
	for name, value := range values {
		fields[name], _ = value.(string)
	}
	return fields
}

func FieldsSize(fields map[string]string) (bytes int) {
	for name, value := range fields {
		bytes += len(name) + len(value)
	}
	return bytes
}

// Pairs lists a map as name, value, … in the order of the names.
func Pairs(fields map[string]string) []string {
	return appendPairs(make([]string, 0, 2*len(fields)), fields)
}

// appendPairs appends a map as name, value, … in the order of the names.
func appendPairs(list []string, fields map[string]string) []string {
	var space [16]string
	names := space[:0]
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		list = append(list, name, fields[name])
	}
	return list
}
