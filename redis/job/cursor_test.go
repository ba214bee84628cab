package job

import (
	"testing"
)

func TestCursorBefore(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{"5-3": "5-2", "5-0": "4-18446744073709551615", "0-1": "0-0", "0-0": "0-0"} {
		if got := CursorBefore(id); got != want {
			t.Errorf("before %s is %s, want %s", id, got, want)
		}
	}
}
