package job

import (
	"strconv"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// The range of a protobuf Timestamp, in epoch seconds.
const (
	minTime = -62135596800
	maxTime = 253402300799
)

// IsProtoTime reports whether a protobuf Timestamp can hold the time.
func IsProtoTime(at time.Time) bool { return at.Unix() >= minTime && at.Unix() <= maxTime }

// ParseTime parses epoch seconds, whole or with a fraction, or RFC 3339. It rejects epoch milliseconds
// instead of guessing: as seconds they are beyond the year 9999.
func ParseTime(value string) (time.Time, bool) {
	if seconds, err := resp.Number(value); err == nil {
		at := time.Unix(seconds, 0).UTC()
		return at, IsProtoTime(at)
	}
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		if !(seconds >= minTime && seconds <= maxTime) { // true for NaN too
			return time.Time{}, false
		}
		return time.UnixMicro(int64(seconds * 1e6)).UTC(), true
	}
	at, err := time.Parse(time.RFC3339, value)
	return at.UTC(), err == nil && IsProtoTime(at)
}

// EntryTime returns when an entry was appended, according to its id; zero when the id holds no time.
func EntryTime(id string) time.Time {
	ms, _, ok := SplitCursor(id)
	if !ok || ms > maxTime*1000 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}
