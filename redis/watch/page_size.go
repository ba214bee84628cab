package watch

// Redis has no bound in bytes for a reply, and events may be small or large. So a watch reads a few
// events first, more at a time while they are small, and fewer when they are large: a page has about
// eventBytes, or one event. firstEvents are the cursor's own event and two more.
const (
	firstEvents = 3
	mostEvents  = 101
	eventBytes  = 1 << 18
)

// In the same way, a watcher of many jobs takes few notifications at a time while they lead to much data.
const (
	firstTaken = 16
	takenBytes = 4 << 20
)

// nextPageSize is how many to read after a page of n that had so many bytes: more if it was full and
// small, fewer if it was large; otherwise at most as many as at first, because the size of what comes
// next is unknown.
func nextPageSize(n, bytes int, isFull bool, aim, first, most int) int {
	switch {
	case bytes > aim:
		return max(2, min(first, n*aim/bytes))
	case !isFull:
		return min(n, first)
	case bytes < aim/8:
		return min(most, 4*n)
	}
	return n
}
