package admin

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

func TestPageOfNames(t *testing.T) {
	t.Parallel()
	names := []string{"a", "b", "d"}
	cases := map[string]struct {
		after string
		count int
		page  []string
		next  string
	}{
		"all":           {"", 3, []string{"a", "b", "d"}, ""},
		"first":         {"", 2, []string{"a", "b"}, "b"},
		"rest":          {"b", 2, []string{"d"}, ""},
		"after deleted": {"c", 1, []string{"d"}, ""},
		"after last":    {"e", 1, []string{}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page, next, err := PageOfNames(names, c.after, c.count)
			if err != nil || next != c.next {
				t.Error(next, err)
			}
			if diff := cmp.Diff(c.page, page); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, _, err := PageOfNames(names, strings.Repeat("x", 1000), 1); !errors.Is(err, job.ErrInvalid) {
		t.Error(err)
	}
}

func TestShortestIdle(t *testing.T) {
	t.Parallel()
	idle := func(times ...time.Duration) (consumers []goredis.XInfoConsumer) {
		for _, d := range times {
			consumers = append(consumers, goredis.XInfoConsumer{Idle: d})
		}
		return consumers
	}
	if got := shortestIdle(nil, -1); got != -1 {
		t.Error(got)
	}
	if got := shortestIdle(idle(3, 1, 2), -1); got != 1 {
		t.Error(got)
	}
	if got := shortestIdle(idle(-5), -1); got != 0 {
		t.Error(got)
	}
}

func TestForemost(t *testing.T) {
	t.Parallel()
	dead, leased := queue.Place{Where: queue.WhereDead}, queue.Place{Where: queue.WhereLeased}
	for _, c := range []struct {
		places []queue.Place
		want   queue.Where
	}{{nil, queue.WhereNowhere}, {[]queue.Place{dead}, queue.WhereDead}, {[]queue.Place{dead, leased}, queue.WhereLeased}} {
		if got := foremost(c.places); got.Where != c.want {
			t.Error(c.places, got.Where)
		}
	}
}

func TestSplitUncounted(t *testing.T) {
	t.Parallel()
	if group, id, ok := splitUncounted("workers 1-1"); group != "workers" || id != "1-1" || !ok {
		t.Error(group, id, ok)
	}
	if _, _, ok := splitUncounted("workers"); ok {
		t.Error("a field without an entry")
	}
}
