package style

import (
	"strings"
	"testing"
)

// Each kind of file has its prose checked, and nothing else.
func TestCheck(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		path, content string
		want          []string
	}{
		"comment in Go":                {"a.go", "package a\n\n// Wakes whoever reads.\n", []string{`a.go:3: "whoever"`}},
		"string in Go":                 {"a.go", "package a\n\nconst a = \"nobody reads\"\n", []string{`a.go:3: "nobody"`}},
		"identifier in Go":             {"a.go", "package a\n\nvar nobody, he int\n", nil},
		"expression across lines":      {"a.go", "package a\n\n// The worker is\n// told at once.\n", []string{`a.go:3: "is told"`}},
		"comment and string of others": {"a.go", "package a\n\n/* is */ var a = \"told\"\n", nil},
		"text in Markdown":             {"a.md", "It starts anew.\n", []string{`a.md:1: "anew"`}},
		"code in Markdown":             {"a.md", "`anew` [a](anew.md)\n\n```sh\nanew # anew\n```\n\nHe.\n", []string{`a.md:7: "He"`}},
		"comment in Lua":               {"a.lua", "local ear = 1 -- one ear\n", []string{`a.lua:1: "ear"`}},
		"comment in a contract":        {"a.proto", "// Tells him.\nstring him = 1;\n", []string{`a.proto:1: "him"`}},
		"comment in YAML":              {"a.yaml", "his: 1 # his\n", []string{`a.yaml:1: "his"`}},
		"words that contain others":    {"a.md", "The worker shears the cached history; clear hearing.\n", nil},
	} {
		var got []string
		for _, finding := range check(test.path, []byte(test.content)) {
			got = append(got, strings.SplitN(finding, ": write ", 2)[0])
		}
		if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}
