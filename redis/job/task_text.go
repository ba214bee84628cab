package job

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// keep stores a field among those that are UTF-8 or those that are not: text that is not
// would make a whole response fail.
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

// SplitText parts fields whose name and value are UTF-8 from those that are not.
func SplitText(fields map[string]string) (text map[string]string, binary map[string][]byte) {
	for name, value := range fields {
		keep(&text, &binary, name, value)
	}
	return text, binary
}

func SetLazily[V any](m *map[string]V, name string, value V) {
	if *m == nil {
		*m = make(map[string]V)
	}
	(*m)[name] = value
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

// ParseTime reads epoch seconds, whole or with a fraction, or RFC 3339. Milliseconds
// are not guessed at: they lie beyond the year 9999 and don't parse.
func ParseTime(value string) (time.Time, bool) {
	if seconds, err := resp.Number(value); err == nil {
		at := time.Unix(seconds, 0).UTC()
		return at, IsProtoTime(at)
	}
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		if !(seconds >= minTime && seconds <= maxTime) {
			return time.Time{}, false
		}
		return time.UnixMicro(int64(seconds * 1e6)).UTC(), true
	}
	at, err := time.Parse(time.RFC3339, value)
	return at.UTC(), err == nil && IsProtoTime(at)
}

// IsProtoTime is true of a time that a protobuf Timestamp can hold.
func IsProtoTime(at time.Time) bool { return at.Unix() >= minTime && at.Unix() <= maxTime }

// The times that a protobuf Timestamp can hold.
const (
	minTime = -62135596800
	maxTime = 253402300799
)
