package job

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEntryFieldsKeepsDuplicates(t *testing.T) {
	t.Parallel()
	got := EntryFields([]string{"a", "1", "a", "2", "a.2", "3", "a", "4"})
	want := map[string]string{"a": "1", "a.2": "2", "a.2.2": "3", "a.3": "4"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
