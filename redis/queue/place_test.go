package queue

import (
	"slices"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

func TestUnpackBacklog(t *testing.T) {
	t.Parallel()
	for member, want := range map[string][]string{
		"4:acme 000000000000016:job_id1:a":           {"job_id", "a"},
		"0: 000000000000016:job_id1:a":               {"job_id", "a"},
		"7:a : b 5 000000000000016:job_id1:a":        {"job_id", "a"},
		"4:acme 000000000000016:job_id3:a:b4:data0:": {"job_id", "a:b", "data", ""},
	} {
		if got, ok := unpackBacklog(member); !ok || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v, want %q", member, got, ok, want)
		}
	}
	for _, member := range []string{"", "acme", "x:acme 00000000000001", "-1:acme 00000000000001", "99:acme 00000000000001", "4:acme 0001",
		"4:acme 00000000000001x", "4:acme 000000000000019:job_id"} {
		if got, ok := unpackBacklog(member); ok {
			t.Errorf("%q is taken for %q", member, got)
		}
	}
}

func TestMemberPlace(t *testing.T) {
	t.Parallel()
	delayed := "6:unique6:job_id1:a18:argus_published_at4:500014:argus_failures1:2"
	p, ok := MemberPlace(WhereDelayed, delayed)
	if !ok || p.Task.JobID != "a" || p.Failures != 2 || !p.PublishedAt.Equal(time.UnixMilli(5000)) || p.member != delayed {
		t.Errorf("a delayed task is %+v, %v", p, ok)
	}
	if key := p.Set(job.Keys{Prefix: "p:"}); key != (job.Keys{Prefix: "p:"}).Delayed("") {
		t.Errorf("a delayed task is in %q", key)
	}
	waiting := "4:acme 000000000000016:job_id1:a"
	if p, ok := MemberPlace(WhereWaiting, waiting); !ok || p.Task.JobID != "a" || p.member != waiting {
		t.Errorf("a task in the backlog is %+v, %v", p, ok)
	}
	for _, where := range []Where{WhereDelayed, WhereWaiting} {
		if p, ok := MemberPlace(where, "no task"); ok || p.member != "no task" {
			t.Errorf("%s: a member that is not a task is %+v, %v", where, p, ok)
		}
	}
}

// An entry counts once; a lease of one group matters more than that it waits for another.
func TestPlaces(t *testing.T) {
	t.Parallel()
	waiting, leased := Place{Where: WhereWaiting, Queue: "q", EntryID: "1-0"}, Place{Where: WhereLeased, Queue: "q", EntryID: "1-0"}
	delayed := Place{Where: WhereDelayed, Queue: "q"}
	elsewhere := Place{Where: WhereWaiting, Queue: "other", EntryID: "1-0"}
	var found places
	for _, p := range []Place{delayed, waiting, leased, waiting, delayed, elsewhere} {
		found.add(p)
	}
	var where []Where
	for _, p := range found {
		where = append(where, p.Where)
	}
	if want := []Where{WhereDelayed, WhereLeased, WhereDelayed, WhereWaiting}; !slices.Equal(where, want) {
		t.Errorf("found %q, want %q", where, want)
	}
}
