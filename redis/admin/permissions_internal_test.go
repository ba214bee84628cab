package admin

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
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

// Every family of keys that the service uses is among those for which the ACL is asked.
func TestPermissionsAskForAllKeys(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../job/keys.go")
	if err != nil {
		t.Fatal(err)
	}
	asked := strings.Join(job.Keys{}.Families(job.Settings{DefaultQueue: job.DefaultQueue}), "\n")
	families := regexp.MustCompile(`"(argus_[a-z_]+:[a-z]*)"`).FindAllStringSubmatch(string(source), -1)
	if len(families) < 20 {
		t.Fatal(families)
	}
	for _, family := range families {
		notKeys := []string{"argus_cancel:", "argus_queues:scratch"} // a channel; what is only queued
		if !strings.Contains(asked, family[1]) && !slices.Contains(notKeys, family[1]) {
			t.Error("not asked for:", family[1])
		}
	}
}
