package job

import (
	"math"
	"strconv"
	"strings"
)

// A cursor is the id of a stream's entry, "ms-seq": the events after it are yet to
// come. firstCursor is before all entries.
const FirstCursor = "0-0"

// SplitCursor reads a cursor in its canonical form.
func SplitCursor(cursor string) (ms, seq uint64, ok bool) {
	first, second, isPair := strings.Cut(cursor, "-")
	ms, ok1 := decimal(first)
	seq, ok2 := decimal(second)
	return ms, seq, isPair && ok1 && ok2
}

// decimal reads a number that is written as short as it can be.
func decimal(s string) (uint64, bool) {
	if s == "" || s[0] == '+' || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

func JoinCursor(ms, seq uint64) string {
	return strconv.FormatUint(ms, 10) + "-" + strconv.FormatUint(seq, 10)
}

// CheckCursor checks a cursor from a caller; "" and "0" mean from the beginning.
func CheckCursor(field, cursor string) (string, error) {
	if cursor == "" || cursor == "0" {
		return FirstCursor, nil
	}
	if _, _, ok := SplitCursor(cursor); !ok {
		return "", Invalid(field, "is not a cursor: use one that a frame carried, or leave it empty to start from the beginning")
	}
	return cursor, nil
}

// CursorLess is true when a is before b.
func CursorLess(a, b string) bool {
	ams, aseq, _ := SplitCursor(a)
	bms, bseq, _ := SplitCursor(b)
	return ams < bms || ams == bms && aseq < bseq
}

// CursorBefore is the cursor right before an entry: nothing lies between them.
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

// CursorAfter is the first id that can follow an entry's.
func CursorAfter(id string) string {
	ms, seq, _ := SplitCursor(id)
	if seq == math.MaxUint64 {
		return JoinCursor(ms+1, 0)
	}
	return JoinCursor(ms, seq+1)
}

// ErrPageToken: a list's place that no list returned.
var ErrPageToken = Invalid("page_token", "is not a token of this list; send the last next_page_token unchanged")

// PageStart is where a page of a stream begins that follows an entry, "" for the first
// page.
func PageStart(after string) (string, error) {
	if after == "" {
		return "-", nil
	}
	if _, _, ok := SplitCursor(after); !ok {
		return "", ErrPageToken
	}
	return CursorAfter(after), nil
}
