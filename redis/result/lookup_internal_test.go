package result

import "testing"

func TestUnexaminedFrom(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		position string
		length   int64
		want     string
	}{
		"none":             {"", 5, "-"},
		"malformed":        {"1-1 two 3", 5, "-"},
		"after position":   {"1-1 5 300", 5, "1-2"},
		"another stream":   {"1-1 6 300", 5, "-"},
		"too few words":    {"1-1 5", 5, "-"},
		"largest sequence": {"1-18446744073709551615 5 300", 5, "2-0"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := unexaminedFrom(c.position, c.length); got != c.want {
				t.Errorf("unexaminedFrom(%q, %d) = %s, want %s", c.position, c.length, got, c.want)
			}
		})
	}
}
