package queue

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestThrottle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		throttle := Throttle{Period: time.Minute}
		check := func(step, name string, want bool) {
			t.Helper()
			if got := throttle.Due(name); got != want {
				t.Errorf("%s: Due(%q) is %v, want %v", step, name, got, want)
			}
		}
		check("at first", "a", true)
		check("within the period", "a", false)
		check("another name", "b", true)
		time.Sleep(time.Minute)
		check("after the period", "a", true)
		throttle.Forget("a")
		check("after Forget", "a", true)
		throttle.postpone("a", 5*time.Minute)
		time.Sleep(4 * time.Minute)
		check("postponed", "a", false)
		time.Sleep(time.Minute)
		check("after what it was postponed by", "a", true)
	})
}

// A throttle remembers a bounded number of names.
func TestThrottleForgets(t *testing.T) {
	t.Parallel()
	throttle := Throttle{Period: time.Hour}
	for i := range maxThrottled + 1 {
		throttle.Due(strconv.Itoa(i))
	}
	if n := len(throttle.last); n > maxThrottled {
		t.Errorf("it remembers %d names, at most %d are wanted", n, maxThrottled)
	}
	if !throttle.Due("0") {
		t.Error("a forgotten name is not due")
	}
}
