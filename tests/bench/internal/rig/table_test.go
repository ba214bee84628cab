package rig

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTableMergesRoundsOfOneMeasurement(t *testing.T) {
	t.Parallel()
	table := NewTable("name", "took", "note")
	table.Quiet = true
	table.Row("publish", "3.00 s", "-")
	table.Row("read", "1.00 s", "-")
	table.Row("publish", "1.00 s", "-")
	table.Row("publish", "2.00 s", "-")
	var out strings.Builder
	table.Print(&out)
	var rows []string
	for line := range strings.Lines(out.String()) {
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	if want := []string{"name took note", "publish 2.00 s (1.00–3.00 s) -", "read 1.00 s -"}; !slices.Equal(rows, want) {
		t.Errorf("got %q, want %q", rows, want)
	}
}

func TestLatenciesReportQuantilesInMilliseconds(t *testing.T) {
	t.Parallel()
	var l, more Latencies
	if got := l.Row(); !slices.Equal(got, []string{"-", "-", "-"}) || l.Quantile(0.5) != 0 {
		t.Error(got)
	}
	for i := range 101 {
		more.Add(time.Duration(100-i) * time.Millisecond)
	}
	l.Merge(&more)
	if got := l.Row(); !slices.Equal(got, []string{"50.00", "99.00", "100.00"}) {
		t.Error(got)
	}
}

func TestNumbersSkipsWhatIsNoNumber(t *testing.T) {
	t.Parallel()
	if got := Numbers("10, 20,,x"); !slices.Equal(got, []int{10, 20}) {
		t.Error(got)
	}
}
