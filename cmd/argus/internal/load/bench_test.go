package load_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/load"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

// Each benchmark makes its load and counts it.
func TestBench(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t, "--lease", "3s") // what a benchmark leaves leased comes back soon
	// A busy machine does nothing in so short a time; then it gets more.
	bench := func(name string, duration time.Duration, least int, args ...string) load.Figures {
		t.Helper()
		var f load.Figures
		for ; ; duration *= 2 {
			out, _ := c.Run(0, append([]string{"bench", name, "--duration", duration.String(), "-o", "json"}, args...)...)
			f = load.Figures{}
			if err := json.Unmarshal([]byte(out), &f); err != nil {
				t.Fatal(out, err)
			}
			if f.Count >= least || c.Ctx.Err() != nil {
				break
			}
			if name == "consume" { // tasks that were completed too late to be counted are gone
				c.Run(0, "bench", "publish", "--duration", "300ms", "--rate", "500")
			}
		}
		if f.Count == 0 || f.PerSecond == 0 || f.P50 <= 0 || f.P99 < f.P50 || f.Max < f.P99 || f.ClientMax < f.ClientMin {
			t.Errorf("%s %q: %+v", name, args, f)
		}
		return f
	}
	one := bench("publish", 300*time.Millisecond, 1, "--clients", "3", "--rate", "500")
	many := bench("publish", 300*time.Millisecond, 1, "--clients", "2", "--batch", "50", "--size", "10")
	if many.Count%50 != 0 || one.Clients != 3 {
		t.Errorf("%+v, %+v", one, many)
	}
	bench("consume", 2*time.Second, 1, "--workers", "2")
	for { // a busy machine takes longer
		out, _ := c.Run(0, "queue", "describe", "-o", "json")
		if !strings.Contains(out, `"waiting"`) && !strings.Contains(out, `"leased"`) { // else they are left out
			break
		}
		c.Run(0, "bench", "consume", "--duration", "1s", "--workers", "2")
		if c.Ctx.Err() != nil {
			t.Fatal("the tasks were not processed: ", out)
		}
	}
	bench("e2e", 200*time.Millisecond, 1, "--rate", "200", "--workers", "2")
	if f := bench("watch", 200*time.Millisecond, 20, "--clients", "20", "--rate", "200"); f.Clients != 20 || f.Count < 20 {
		t.Errorf("%+v", f)
	}
	csv, _ := c.Run(0, "bench", "e2e", "--duration", "50ms", "--csv")
	if lines := strings.Split(strings.TrimSpace(csv), "\n"); len(lines) != 2 || strings.Count(lines[0], ",") != strings.Count(lines[1], ",") {
		t.Error(csv)
	}
	table, _ := c.Run(0, "bench", "e2e", "--duration", "50ms")
	if !strings.Contains(table, "PER SECOND") || !strings.Contains(table, "published") {
		t.Error(table)
	}
	for _, bad := range [][]string{{"e2e", "--batch", "0"}, {"publish", "--clients", "0"}, {"publish", "--rate", "-1"}, {"watch", "--rate", "0"},
		{"watch", "--clients", "1", "--rate", "5000"}, {"consume", "--max-outstanding", "2000"}} {
		if _, text := c.Run(shell.ExitUsage, append([]string{"bench"}, bad...)...); !strings.Contains(text, strings.TrimPrefix(bad[len(bad)-2], "--")) && bad[1] != "--clients" {
			t.Error(bad, text)
		}
	}
}
