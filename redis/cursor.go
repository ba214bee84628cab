package redis

import (
	"math"
	"strconv"
	"strings"
)

// A cursor is the id of a stream's entry, "ms-seq": the events after it are yet to
// come. firstCursor is before all entries.
const firstCursor = "0-0"

// splitCursor reads a cursor in its canonical form.
func splitCursor(cursor string) (ms, seq uint64, ok bool) {
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

func joinCursor(ms, seq uint64) string {
	return strconv.FormatUint(ms, 10) + "-" + strconv.FormatUint(seq, 10)
}

// checkCursor checks a cursor from a caller; "" and "0" mean from the beginning.
func checkCursor(field, cursor string) (string, error) {
	if cursor == "" || cursor == "0" {
		return firstCursor, nil
	}
	if _, _, ok := splitCursor(cursor); !ok {
		return "", invalid(field, "is not a cursor: use one that a frame carried, or leave it empty to start from the beginning")
	}
	return cursor, nil
}

// cursorLess is true when a is before b.
func cursorLess(a, b string) bool {
	ams, aseq, _ := splitCursor(a)
	bms, bseq, _ := splitCursor(b)
	return ams < bms || ams == bms && aseq < bseq
}

// cursorBefore is the cursor right before an entry: nothing lies between them.
func cursorBefore(id string) string {
	ms, seq, ok := splitCursor(id)
	switch {
	case !ok || ms == 0 && seq == 0:
		return firstCursor
	case seq > 0:
		return joinCursor(ms, seq-1)
	}
	return joinCursor(ms-1, math.MaxUint64)
}

// cursorAfter is the first id that can follow an entry's.
func cursorAfter(id string) string {
	ms, seq, _ := splitCursor(id)
	if seq == math.MaxUint64 {
		return joinCursor(ms+1, 0)
	}
	return joinCursor(ms, seq+1)
}

// errPageToken: a list's place that no list returned.
var errPageToken = invalid("page_token", "is not a token of this list; send the last next_page_token unchanged")

// pageStart is where a page of a stream begins that follows an entry, "" for the first
// page.
func pageStart(after string) (string, error) {
	if after == "" {
		return "-", nil
	}
	if _, _, ok := splitCursor(after); !ok {
		return "", errPageToken
	}
	return cursorAfter(after), nil
}
