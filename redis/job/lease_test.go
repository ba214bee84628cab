package job

import (
	"testing"
)

func FuzzLeaseToken(f *testing.F) {
	f.Add(Lease{Prefix: "argus:", Queue: "q", Group: "g", EntryID: "1-0", Consumer: "c", Count: 1, JobID: "j"}.Token(), "p", "q", "c", 1)
	f.Add("", "", "", "", 0)
	f.Add("AQ", "{a}", "q:r", "ü", 1<<30)
	f.Add("AQZh\rcmd1czoBcQFnAzEtMAFjAWoBnS0nrQ", "", "", "", 0) // base64 ignores line ends
	f.Fuzz(func(t *testing.T, token, prefix, queue, consumer string, count int) {
		if lease, err := ParseLease(token); err == nil && lease.Token() != token {
			t.Fatalf("two tokens for one lease: %q and %q", token, lease.Token())
		}
		lease := Lease{Prefix: prefix, Queue: queue, Group: "g", EntryID: "1-0", Consumer: consumer, Count: count, JobID: "j"}
		if CheckQueue("q", queue) != nil || CheckConsumer("c", consumer) != nil || count < 0 || count > 1<<31-1 || len(prefix) > MaxNameBytes {
			return
		}
		token = lease.Token()
		got, err := ParseLease(token)
		if err != nil || got != lease {
			t.Fatalf("%+v became %+v, %v", lease, got, err)
		}
		changed := []byte(token)
		changed[count%len(changed)] ^= 1
		if got, err := ParseLease(string(changed)); err == nil && got == lease {
			t.Fatalf("a changed token parses as the same lease")
		}
	})
}
