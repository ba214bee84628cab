package rig

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Table collects rows. Rows with the same first cell are rounds of one measurement.
type Table struct {
	// Quiet suppresses the progress output of Row.
	Quiet bool

	rows [][]string
}

// NewTable makes a table.
func NewTable(head ...string) *Table { return &Table{rows: [][]string{head}} }

// Row adds a row, and reports it on standard error as progress.
func (t *Table) Row(cells ...string) {
	t.rows = append(t.rows, cells)
	if !t.Quiet {
		fmt.Fprintln(os.Stderr, strings.Join(cells, "  "))
	}
}

// Print prints the table. The rounds of a measurement become one row: the median of each
// column, with the minimum and the maximum.
func (t *Table) Print(to io.Writer) {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	var names []string
	rounds := make(map[string][][]string)
	for _, row := range t.rows {
		if rounds[row[0]] == nil {
			names = append(names, row[0])
		}
		rounds[row[0]] = append(rounds[row[0]], row)
	}
	for _, name := range names {
		row := slices.Clone(rounds[name][0])
		for column := range row {
			row[column] = spread(rounds[name], column)
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush()
}

// spread summarizes a column over several rounds. A column without numbers is the same in
// each round.
func spread(rounds [][]string, column int) string {
	cells := make(map[float64]string)
	var numbers []float64
	for _, row := range rounds {
		first, _, _ := strings.Cut(row[column], " ") // without its unit
		n, err := strconv.ParseFloat(first, 64)
		if err != nil {
			return rounds[0][column]
		}
		numbers, cells[n] = append(numbers, n), row[column]
	}
	median, least, most := cells[Median(numbers)], cells[slices.Min(numbers)], cells[slices.Max(numbers)]
	if least == most {
		return median
	}
	return fmt.Sprintf("%s (%s–%s)", median, strings.TrimSuffix(least, " s"), most)
}

// Median is the median of a list, the upper one of an even number; 0 of an empty list.
func Median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

// Seconds formats a duration as a cell.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// Numbers parses a list such as "10,20", and skips what is not a number.
func Numbers(list string) []int {
	var all []int
	for part := range strings.SplitSeq(list, ",") {
		if n, err := strconv.Atoi(strings.TrimSpace(part)); err == nil {
			all = append(all, n)
		}
	}
	return all
}
