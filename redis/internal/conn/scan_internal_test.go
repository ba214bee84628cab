package conn

import "testing"

// A page grows slowly while its entries are small, and shrinks when they are large.
func TestPageSize(t *testing.T) {
	t.Parallel()
	var page PageSize
	steps := []struct {
		bytes int // of the page before
		want  int64
	}{{0, minPage}, {pageBytes/16 - 1, 16}, {pageBytes / 16, 32}, {pageBytes / 2, 32}, {pageBytes, 32}, {pageBytes + 1, 8}, {2 * pageBytes, 2}, {9 * pageBytes, minPage},
		{0, 16}, {0, 128}, {0, maxPage}, {0, maxPage}, {pageBytes / 4, maxPage}}
	for i, step := range steps {
		page.Read(step.bytes)
		if got := page.Next(); got != step.want {
			t.Errorf("page %d: %d entries, want %d", i, got, step.want)
		}
	}
}
