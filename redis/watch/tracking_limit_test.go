package watch

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Needless pushes lower the number of tracked keys, and there is one warning.
func TestNeedlessPushesShrinkTracking(t *testing.T) {
	inBubble(t, func(b *bundle) {
		const n = 600
		keys := make([]string, n)
		for i := range n {
			keys[i] = fmt.Sprint("job-", i)
			b.subscribe(keys[i], "0-0", false)
		}
		c := newTracked(b).start(b)
		for range 10 {
			c.pushed <- keys
			synctest.Wait()
		}
		if _, tracked := b.subscriptions.Len(); tracked >= n {
			b.Errorf("%d keys are tracked, want fewer", tracked)
		}
		if n := strings.Count(b.logged.String(), "tracking-table-max-keys"); n != 1 {
			b.Errorf("%d warnings, want 1", n)
		}
	})
}

func TestStormOfNeedlessPushes(t *testing.T) {
	t.Parallel()
	start := time.Now()
	for _, c := range []struct {
		name            string
		pushes, tracked int
		needless        func(i int) bool
		every           time.Duration
		want            bool
	}{
		{"all needless", minPushes, 10, func(int) bool { return true }, 0, true},
		{"one fewer", minPushes - 1, 10, func(int) bool { return true }, 0, false},
		{"half needless", minPushes, 10, func(i int) bool { return i%2 == 0 }, 0, false},
		{"one for each tracked key", 5000, 5000, func(int) bool { return true }, 0, false},
		{"two for each tracked key", 10000, 5000, func(int) bool { return true }, 0, true},
		{"slow", minPushes, 10, func(int) bool { return true }, stormPeriod / 900, false},
	} {
		l, got := &trackingLimit{}, false
		for i := range c.pushes {
			l.count(c.needless(i), start.Add(time.Duration(i)*c.every))
			got = l.isStorm(c.tracked)
		}
		if got != c.want {
			t.Errorf("%s: a storm is %t, want %t", c.name, got, c.want)
		}
	}
}
