package job

import (
	"encoding/json"
	"strings"
)

// EncodeJSON returns v as JSON without escaping <, > and &, because people read it. It panics when v has no
// JSON form; pass strings, numbers, and lists and maps of these.
func EncodeJSON(v any) []byte {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

// NonNilMap returns m, or an empty map, so that JSON has an object and not null.
func NonNilMap[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// jsonText returns the text of a JSON string, or the JSON of any other value.
func jsonText(raw json.RawMessage) string {
	var text string
	if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// isJSONNumber reports whether the text is a JSON number, without spaces around it.
func isJSONNumber(text string) bool {
	return text != "" && (text[0] == '-' || text[0] >= '0' && text[0] <= '9') && json.Valid([]byte(text)) && !strings.ContainsAny(text, " \t\r\n")
}

// isPlain reports whether JSON writes the text without escapes.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
