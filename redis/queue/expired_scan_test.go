package queue

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestExpiredScanThrottle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var throttle expiredScanThrottle
		check := func(step, group string, want bool) {
			t.Helper()
			if got := throttle.due("queue", group); got != want {
				t.Errorf("%s: due is %v for group %q, want %v", step, got, group, want)
			}
		}
		check("at first", "a", true)
		check("at once again", "a", false)
		check("another group", "b", true)
		time.Sleep(scanPeriod)
		check("after the period", "a", true)
		throttle.reset("queue", "a")
		check("after a reset", "a", true)

		throttle.postpone("queue", "a", 2*time.Millisecond)
		time.Sleep(2*scanShare*time.Millisecond - 1)
		check("while a slow scan is paid for", "a", false)
		time.Sleep(time.Nanosecond)
		check("after a slow scan is paid for", "a", true)

		throttle.postpone("queue", "a", 0)
		time.Sleep(scanPeriod - 1)
		check("within the period after a fast scan", "a", false)

		throttle.postpone("queue", "a", time.Minute)
		time.Sleep(maxScanPeriod)
		check("after the longest period", "a", true)
	})
}
