package main

import (
	"strconv"
	"strings"
	"unicode"
)

// idText is an id or a name for people to read. One that could be taken for several words is
// quoted, wherever it is printed in text; JSON has it as it is.
func idText(id string) string {
	if strings.IndexFunc(id, func(r rune) bool { return r == '"' || unicode.IsSpace(r) || !unicode.IsPrint(r) }) < 0 {
		return id
	}
	return strconv.Quote(id)
}

// shellWord is a value as a person writes it on a command line.
func shellWord(value string) string {
	isPlain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_./:@%+,", r)
	}
	if value != "" && strings.IndexFunc(value, func(r rune) bool { return !isPlain(r) }) < 0 {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}
