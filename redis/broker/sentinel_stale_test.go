package broker_test

import (
	"fmt"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// Two masters have one name, as after a failover that one sentinel did not learn of: the one of the newest
// configuration counts, whichever sentinel answers, and when it appears, connections to the other close.
func TestNewestSentinelConfigurationCounts(t *testing.T) {
	t.Parallel()
	first, second := redistest.Own(t), redistest.Own(t)
	old, promoted := first.Engine().Raw(t), second.Engine().Raw(t)
	stale := watchedBySentinel(t, first)
	fresh := watchedBySentinel(t, second, "sentinel config-epoch main 5")
	fresh.Kill()
	b := throughSentinels(t, fresh, stale)
	if err := b.tryPublish("before"); err != nil || !has(t, old, "before") {
		t.Fatal(err)
	}
	if err := fresh.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, b.ctx, func() bool { return ours(t, old) == 0 })
	await(t, b.ctx, func() bool { return b.tryPublish("after") == nil || has(t, promoted, "after") })
	if !has(t, promoted, "after") || has(t, old, "after") {
		t.Error("it is written to the old master")
	}
	for i := range 10 { // whichever sentinel answers first
		if err := promoted.Do(b.ctx, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint("again", i)
		await(t, b.ctx, func() bool { return b.tryPublish(id) == nil || has(t, promoted, id) })
		if has(t, old, id) {
			t.Error("a stale sentinel is believed beside another one:", id)
		}
	}
	fresh.Kill() // the known configuration is newer than that of the other one
	if err := promoted.Do(b.ctx, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
		t.Fatal(err)
	}
	await(t, b.ctx, func() bool { return b.tryPublish("later") == nil || has(t, promoted, "later") })
	if has(t, old, "later") || !has(t, promoted, "later") {
		t.Error("a stale sentinel is believed")
	}
	again := throughSentinels(t, stale, fresh)
	if err := again.tryPublish("elsewhere"); err != nil || !has(t, old, "elsewhere") {
		t.Error("a client that can ask only the stale sentinel has nothing else to go by:", err)
	}
}
