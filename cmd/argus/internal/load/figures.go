package load

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"
)

// meter counts what one client did.
type meter struct {
	mu    sync.Mutex
	done  int
	times []time.Duration
}

func (m *meter) add(n int, times ...time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	m.times = append(m.times, times...)
}

func (r *run) newMeter() *meter {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := &meter{}
	r.meters = append(r.meters, m)
	return m
}

func (r *run) newMeters(n int) []*meter {
	meters := make([]*meter, n)
	for i := range meters {
		meters[i] = r.newMeter()
	}
	return meters
}

// figures are the results of a benchmark.
type figures struct {
	Benchmark string  `json:"benchmark"`
	Clients   int     `json:"clients"`
	Seconds   float64 `json:"seconds"`
	Count     int     `json:"count"`
	PerSecond float64 `json:"perSecond"`
	P50       float64 `json:"p50Ms"`
	P90       float64 `json:"p90Ms"`
	P99       float64 `json:"p99Ms"`
	Max       float64 `json:"maxMs"`
	// Of single clients.
	ClientMin    float64 `json:"clientMinPerSecond"`
	ClientMedian float64 `json:"clientMedianPerSecond"`
	ClientMax    float64 `json:"clientMaxPerSecond"`
}

func (r *run) figures(name string) figures {
	f := figures{Benchmark: name, Clients: len(r.meters), Seconds: r.took.Seconds()}
	var times []time.Duration
	var each []float64
	for _, m := range r.meters {
		m.mu.Lock()
		f.Count += m.done
		times = append(times, m.times...)
		each = append(each, float64(m.done)/f.Seconds)
		m.mu.Unlock()
	}
	f.PerSecond = float64(f.Count) / f.Seconds
	slices.Sort(times)
	slices.Sort(each)
	f.P50, f.P90, f.P99, f.Max = quantile(times, 0.5), quantile(times, 0.9), quantile(times, 0.99), quantile(times, 1)
	f.ClientMin, f.ClientMedian, f.ClientMax = each[0], each[len(each)/2], each[len(each)-1]
	return f
}

// quantile is a quantile of sorted times in milliseconds.
func quantile(times []time.Duration, q float64) float64 {
	if len(times) == 0 {
		return 0
	}
	return float64(times[int(q*float64(len(times)-1))].Microseconds()) / 1000
}

// report prints the figures.
func (r *run) report(name string) error {
	f := r.figures(name)
	switch {
	case r.csv:
		_, err := fmt.Fprint(r.Stdout, f.csv())
		return err
	case !r.Out.IsTable():
		return json.NewEncoder(r.Stdout).Encode(f)
	}
	if err := r.Out.Table(f.table()...); err != nil {
		return err
	}
	for _, note := range r.notes {
		if _, err := fmt.Fprintln(r.Stdout, note); err != nil {
			return err
		}
	}
	return nil
}

func (f figures) csv() string {
	return "benchmark,clients,seconds,count,per_second,p50_ms,p90_ms,p99_ms,max_ms,client_min_per_second,client_median_per_second,client_max_per_second\n" +
		fmt.Sprintf("%s,%d,%.3f,%d,%.1f,%.3f,%.3f,%.3f,%.3f,%.1f,%.1f,%.1f\n",
			f.Benchmark, f.Clients, f.Seconds, f.Count, f.PerSecond, f.P50, f.P90, f.P99, f.Max, f.ClientMin, f.ClientMedian, f.ClientMax)
}

func (f figures) table() [][]string {
	ms := func(n float64) string { return fmt.Sprintf("%.2f", n) }
	return [][]string{{"BENCHMARK", "COUNT", "PER SECOND", "P50 MS", "P90 MS", "P99 MS", "MAX MS", "EACH CLIENT PER SECOND"},
		{f.Benchmark, fmt.Sprint(f.Count), fmt.Sprintf("%.0f", f.PerSecond), ms(f.P50), ms(f.P90), ms(f.P99), ms(f.Max),
			fmt.Sprintf("%.0f – %.0f – %.0f", f.ClientMin, f.ClientMedian, f.ClientMax)}}
}
