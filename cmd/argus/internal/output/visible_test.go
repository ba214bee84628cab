package output

import (
	"testing"
)

// Text of other programs does not control the terminal, and does not look like other text.
func TestInvisibleCharactersAreEscaped(t *testing.T) {
	t.Parallel()
	if got, want := Printable("a\x1b[31m\u202eb\u200bc\U000e0041é"), `a [31m\u202eb\u200bc\udb40\udc41é`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestIsInvisible(t *testing.T) {
	t.Parallel()
	for _, r := range "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u200b\u200d\u202e\u2028\u2029\u2066\u3164\ufeff\uffa0\U000e0041" {
		if !isInvisible(r) {
			t.Errorf("%U counts as visible", r)
		}
	}
	for _, r := range "a é日\u0301😀\n\x1b" {
		if isInvisible(r) {
			t.Errorf("%U counts as invisible", r)
		}
	}
}
