package redis

import (
	"slices"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// The documented list grants what is checked at start, and nothing else.
func TestPermissionsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	checked := []string{"+wait", "+select"}
	for _, g := range required {
		checked = append(checked, "+"+g.name)
	}
	for _, o := range optional {
		checked = append(checked, "+"+o.name)
	}
	listed := slices.DeleteFunc(slices.Clone(redistest.Permissions), func(rule string) bool { return rule == "-@all" })
	slices.Sort(checked)
	slices.Sort(listed)
	if !slices.Equal(checked, listed) {
		t.Errorf("checked %q, documented %q", checked, listed)
	}
}
