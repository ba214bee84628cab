package job

import (
	"fmt"
	"strings"
	"testing"
)

func FuzzKeys(f *testing.F) {
	f.Add("argus:", "a", "b")
	f.Add("{t}:", "job_state:x", "x")
	f.Add("p", "argus_completion", "argus_task_queue")
	f.Fuzz(func(t *testing.T, prefix, a, b string) {
		if strings.ContainsAny(prefix, "{}") && HashTag(prefix) == "" || CheckID("id", a) != nil || CheckID("id", b) != nil {
			return
		}
		k := Keys{Prefix: prefix}
		families := map[string]func(string) string{"state": k.State, "completion": k.Completion, "delayed": k.Delayed,
			"dead": k.DeadLetters, "tasks": k.Tasks}
		seen := map[string]string{k.Tenant().DelayedQueues(): "the set of delayed queues"}
		for family, build := range families {
			for _, id := range []string{a, b} {
				if family == "tasks" && CheckQueue("queue", id) != nil {
					continue
				}
				key, owner := build(id), fmt.Sprintf("%s %q", family, id)
				if !strings.HasPrefix(key, prefix) {
					t.Fatalf("%s escapes its prefix: %q", owner, key)
				}
				if HashTag(prefix) != "" && HashTag(key) != HashTag(prefix) {
					t.Fatalf("%s moves to another slot: %q", owner, key)
				}
				if other, taken := seen[key]; taken && other != owner {
					t.Fatalf("%s and %s share the key %q", owner, other, key)
				}
				seen[key] = owner
			}
		}
		if a != b {
			for _, one := range [][2]string{{a, b}, {b, a}, {a, a}, {a + ":" + b, a}, {a, b + ":" + a}} {
				key, owner := k.Request(one[0], one[1]), fmt.Sprintf("request %q", one)
				if other, taken := seen[key]; taken && other != owner {
					t.Fatalf("%s and %s share the key %q", owner, other, key)
				}
				seen[key] = owner
			}
		}
	})
}
