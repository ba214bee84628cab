package job

import (
	"math"
	"strconv"
	"strings"
)

// FirstCursor is the cursor before all entries. A cursor is the id of a stream entry, "ms-seq", and stands
// for the events after that entry.
const FirstCursor = "0-0"

// SplitCursor parses a cursor. It accepts only the canonical form, so that one cursor has one spelling.
func SplitCursor(cursor string) (ms, seq uint64, ok bool) {
	first, second, isPair := strings.Cut(cursor, "-")
	ms, ok1 := decimal(first)
	seq, ok2 := decimal(second)
	return ms, seq, isPair && ok1 && ok2
}

// decimal parses a number without a sign and without leading zeros.
func decimal(s string) (uint64, bool) {
	if s == "" || s[0] == '+' || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

// JoinCursor returns the cursor with the given parts.
func JoinCursor(ms, seq uint64) string {
	return strconv.FormatUint(ms, 10) + "-" + strconv.FormatUint(seq, 10)
}

// CheckCursor checks a cursor from a caller and returns its canonical form; "" and "0" mean the beginning.
// The error is an *ArgumentError for field.
func CheckCursor(field, cursor string) (string, error) {
	if cursor == "" || cursor == "0" {
		return FirstCursor, nil
	}
	if _, _, ok := SplitCursor(cursor); !ok {
		return "", Invalid(field, "is not a cursor: use one that a frame carried, or leave it empty to start from the beginning")
	}
	return cursor, nil
}

// CursorLess reports whether a is before b.
func CursorLess(a, b string) bool {
	ams, aseq, _ := SplitCursor(a)
	bms, bseq, _ := SplitCursor(b)
	return ams < bms || ams == bms && aseq < bseq
}

// CursorBefore returns the cursor right before an entry: no entry lies between them.
func CursorBefore(id string) string {
	ms, seq, ok := SplitCursor(id)
	switch {
	case !ok || ms == 0 && seq == 0:
		return FirstCursor
	case seq > 0:
		return JoinCursor(ms, seq-1)
	}
	return JoinCursor(ms-1, math.MaxUint64)
}

// CursorAfter returns the lowest id that can follow the given one.
func CursorAfter(id string) string {
	ms, seq, _ := SplitCursor(id)
	if seq == math.MaxUint64 {
		return JoinCursor(ms+1, 0)
	}
	return JoinCursor(ms, seq+1)
}

// ErrPageToken is the *ArgumentError for a page token that the list did not return.
var ErrPageToken = Invalid("page_token", "is not a token of this list; send the last next_page_token unchanged")

// PageStart returns where XRANGE starts a page that follows the entry after; "" means the first page. It
// fails with ErrPageToken.
func PageStart(after string) (string, error) {
	if after == "" {
		return "-", nil
	}
	if _, _, ok := SplitCursor(after); !ok {
		return "", ErrPageToken
	}
	return CursorAfter(after), nil
}
