package output

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Printable replaces what could control the terminal, break a table or look like another value.
func Printable(text string) string {
	return visible(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text))
}

// visible writes invisible characters as JSON escapes them.
func visible(text string) string {
	if !strings.ContainsFunc(text, isInvisible) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if !isInvisible(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, "\\u%04x", unit)
		}
	}
	return b.String()
}

// isInvisible reports whether a character makes one text look like another: formatting, such as
// the direction of text and joiners of no width, separators of lines, and letters without a glyph.
// Control characters are not among them. The server refuses names that have such a character; text
// that other programs write to Redis may have it.
func isInvisible(r rune) bool {
	switch r {
	case '\u034f', '\u115f', '\u1160', '\u17b4', '\u17b5', '\u3164', '\uffa0':
		return true
	}
	return r > unicode.MaxASCII && unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}
