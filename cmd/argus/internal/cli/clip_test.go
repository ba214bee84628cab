package cli

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClip(t *testing.T) {
	t.Parallel()
	for _, text := range []string{strings.Repeat("\xff", 100), strings.Repeat("é", 100), "short"} {
		if got := clip(text, 33); len(got) > 33 || !utf8.ValidString(got) || got == "" {
			t.Errorf("%q", got)
		}
	}
}
