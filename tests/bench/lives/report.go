package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

// report prints the results of all rounds.
func report(all []*contender) {
	table := rig.NewTable("whole lives", "per second", "min – max", "µs of Redis", "of the server", "of the client", "allocations")
	table.Quiet = true
	for _, c := range all {
		if c.rates == nil {
			continue
		}
		cells := []string{c.name, fmt.Sprintf("%.0f", rig.Median(c.rates)), fmt.Sprintf("%.0f – %.0f", slices.Min(c.rates), slices.Max(c.rates))}
		for _, cost := range c.costs {
			cells = append(cells, fmt.Sprintf("%.1f", rig.Median(cost)))
		}
		table.Row(cells...)
	}
	table.Print(os.Stdout)
	fmt.Println()
	table = rig.NewTable("publish to delivery, idle queue", "p50 ms", "p99 ms", "max ms")
	table.Quiet = true
	for _, c := range all {
		if c.idle != nil {
			table.Row(append([]string{c.name}, c.delays.Row()...)...)
		}
	}
	table.Print(os.Stdout)
	fmt.Println()
	ratios(all)
}

// ratios compares the contenders that ran, and prints each ratio with its target.
func ratios(all []*contender) {
	find := func(name string) *contender {
		i := slices.IndexFunc(all, func(c *contender) bool { return c.name == name })
		if i < 0 {
			return &contender{}
		}
		return all[i]
	}
	table := rig.NewTable("ratio", "target", "measured")
	table.Quiet = true
	row := func(what, target string, a, b float64) {
		if a > 0 && b > 0 {
			table.Row(what, target, fmt.Sprintf("%.2f", a/b))
		}
	}
	rate := func(name string) float64 { return rig.Median(find(name).rates) }
	p99 := func(name string) float64 { return find(name).delays.Quantile(0.99).Seconds() }
	row("batched lives / asynq", "≥ 10", rate(argusBatched), rate(asynqName))
	row("batched lives / go-redis pipelines", "≥ 1.2", rate(argusBatched), rate(goredisName))
	row("batched lives / hand-written RESP", "≥ 0.9", rate(argusBatched), rate(respName))
	row("batched lives / JetStream, async", "≥ 1.2", rate(argusBatched), rate(natsAsync))
	row("unary Publish, streaming workers / asynq", "≥ 5", rate(argusMixed), rate(asynqName))
	row("all unary / asynq", "≥ 1.5", rate(argusUnary), rate(asynqName))
	row("idle p99 / raw XREADGROUP BLOCK", "≤ 2.5", p99(argusMixed), p99(respName))
	row("idle p99 / JetStream", "≤ 1.7", p99(argusMixed), p99(natsAsync))
	row("Redis's time, batched / plain commands", "≤ 1.1", rig.Median(find(argusBatched).costs[0]), rig.Median(find(respName).costs[0]))
	table.Print(os.Stdout)
}
