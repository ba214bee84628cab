package watch

import (
	"maps"
	"slices"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

func TestNextPageSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		n, bytes int
		isFull   bool
		want     int
	}{
		{"small and full", firstEvents, 100, true, 4 * firstEvents},
		{"at most", 100, 100, true, mostEvents},
		{"full and not small", 50, eventBytes / 2, true, 50},
		{"not full", 50, 100, false, firstEvents},
		{"too large", 3, 10 * eventBytes, true, 2},
		{"too large, many", 100, 2 * eventBytes, true, firstEvents},
	} {
		if got := nextPageSize(c.n, c.bytes, c.isFull, eventBytes, firstEvents, mostEvents); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// An update is used by the watches whose cursor it reaches.
func TestUpdateThatReachesTheCursor(t *testing.T) {
	t.Parallel()
	u := &update{streamRead: streamRead{key: "job", from: "1-0", count: firstEvents}, raw: wireEntries("1-0", "2-0", "3-0"), seq: 7}
	for cursor, want := range map[string][]string{"1-0": {"1-0", "2-0", "3-0"}, "2-0": {"2-0", "3-0"}, "3-0": {"3-0"}, "4-0": nil, "0-0": nil} {
		reply, ok := (&jobWatch{cursor: cursor}).use(u)
		var ids []string
		for _, entry := range reply.entries {
			ids = append(ids, entry.ID)
		}
		if ok != (want != nil) || ok && !slices.Equal(ids, want) || reply.seq != 7 {
			t.Errorf("at %s: %v, %t, number %d; want %v", cursor, ids, ok, reply.seq, want)
		}
	}
	first := &update{streamRead: streamRead{key: "job", from: job.FirstCursor, count: firstEvents}, raw: wireEntries("1-0")}
	if reply, ok := (&jobWatch{cursor: job.FirstCursor}).use(first); !ok || len(reply.entries) != 1 {
		t.Error("a watch from the first event on does not use what was read from there")
	}
	if _, ok := (&jobWatch{cursor: "1-0"}).use(&update{streamRead: u.streamRead, raw: "-LOADING\r\n"}); ok {
		t.Error("an error is used")
	}
}

func TestReplyWithNothingNew(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from string
		ids  []string
		want bool
	}{
		{job.FirstCursor, nil, true}, {job.FirstCursor, []string{"1-0"}, false},
		{"1-0", []string{"1-0"}, true}, {"1-0", []string{"1-0", "2-0"}, false},
	} {
		if got := (streamRead{key: "job", from: c.from, count: firstEvents}).hasNothingNew(wireEntries(c.ids...)); got != c.want {
			t.Errorf("from %q with %v: %t, want %t", c.from, c.ids, got, c.want)
		}
	}
}

func TestChangesOfAState(t *testing.T) {
	t.Parallel()
	s := &stateWatch{}
	expect := func(read *stateUpdate, fields map[string]string, truncated bool, removed ...string) {
		t.Helper()
		got := s.changeTo(read)
		if !maps.Equal(got.Fields, fields) || !slices.Equal(got.Removed, removed) || got.Truncated != truncated {
			t.Errorf("the change is %+v, want fields %v, removed %v, truncated %t", got, fields, removed, truncated)
		}
	}
	type fields = map[string]string
	expect(&stateUpdate{fields: fields{"a": "1", "b": "2"}}, fields{"a": "1", "b": "2"}, false)
	expect(&stateUpdate{fields: fields{"a": "1", "b": "3"}}, fields{"b": "3"}, false)
	expect(&stateUpdate{fields: fields{"a": "1"}}, fields{}, false, "b")
	expect(&stateUpdate{isTooLarge: true}, fields{}, true)
	expect(&stateUpdate{isTooLarge: true}, fields{}, false)
	expect(&stateUpdate{fields: fields{"a": "2"}}, fields{"a": "2"}, false)
	expect(&stateUpdate{}, fields{}, false, "a")
}
