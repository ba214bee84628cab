package job

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// FieldOverhead is the number of bytes that a message needs for a field apart from its name and value.
const FieldOverhead = 8

// EntrySize returns the size of an entry, given as name, value, … in a message. The service's own fields do
// not count, because their number changes from delivery to delivery.
func EntrySize(entry []string) int {
	size := 0
	for i := 0; i+1 < len(entry); i += 2 {
		if !IsOwnField(entry[i]) {
			size += len(entry[i]) + len(entry[i+1]) + FieldOverhead
		}
	}
	return size
}

// FieldsSize returns the number of bytes of all names and values.
func FieldsSize(fields map[string]string) (bytes int) {
	for name, value := range fields {
		bytes += len(name) + len(value)
	}
	return bytes
}

// EntryFields returns an entry, given as name, value, … as a map. When a name occurs more than once, which
// only a raw peer can write, the later ones become "name.2", "name.3", …
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

// distinct returns an entry, given as name, value, … in which no name occurs twice: it renames as EntryFields
// does. Without duplicates, the usual case, it returns a short list as it is.
func distinct(list []string) []string {
	isTwice := func(i int) bool {
		for j := 0; j < i; j += 2 {
			if list[j] == list[i] {
				return true
			}
		}
		return false
	}
	if len(list) > 64 { // comparing all pairs is slower than a map
		return distinctMany(list)
	}
	for i := 2; i+1 < len(list); i += 2 {
		if isTwice(i) {
			return distinctMany(list)
		}
	}
	return list
}

// distinctMany is distinct for a list of any length. The order of the result is random.
func distinctMany(list []string) []string {
	fields := EntryFields(list)
	list = make([]string, 0, 2*len(fields))
	for name, value := range fields {
		list = append(list, name, value)
	}
	return list
}

// Pairs returns a map as name, value, … in the order of the names.
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

// TextFields returns the driver's form of an entry's fields as a map of strings.
func TextFields(values map[string]any) map[string]string {
	fields := make(map[string]string, len(values))
	for name, value := range values {
		fields[name], _ = value.(string)
	}
	return fields
}

// SplitText separates the fields whose name and value are UTF-8 from the others.
func SplitText(fields map[string]string) (text map[string]string, binary map[string][]byte) {
	for name, value := range fields {
		keep(&text, &binary, name, value)
	}
	return text, binary
}

// keep stores a field in text if its name and value are UTF-8, and in binary otherwise. Protobuf strings must
// be UTF-8: one that is not makes the whole response fail.
func keep(text *map[string]string, binary *map[string][]byte, name, value string) {
	switch {
	case !utf8.ValidString(name):
		quoted := strconv.QuoteToASCII(name) // "\xff…": distinct names stay distinct
		SetLazily(binary, quoted[1:len(quoted)-1], []byte(value))
	case !utf8.ValidString(value):
		SetLazily(binary, name, []byte(value))
	default:
		SetLazily(text, name, value)
	}
}

// SetLazily stores a value in a map, which it creates when it is nil.
func SetLazily[V any](m *map[string]V, name string, value V) {
	if *m == nil {
		*m = make(map[string]V)
	}
	(*m)[name] = value
}

// Unpack decodes a list that the scripts' function pack encoded: "3:abc0:2:xy". It reports false for an
// empty list too.
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

// ParseCell returns the integer in a cell of a script's reply, 0 when the cell holds none.
func ParseCell(cell any) int64 {
	text, _ := cell.(string)
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}
