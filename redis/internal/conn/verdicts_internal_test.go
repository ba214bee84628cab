package conn

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every verdict that Go knows is a word of some script.
func TestVerdictsAreWordsOfScripts(t *testing.T) {
	t.Parallel()
	var scripts strings.Builder
	files, err := luaFiles.ReadDir("lua")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		scripts.WriteString(file(strings.TrimSuffix(f.Name(), ".lua")))
	}
	sources, err := filepath.Glob("verdicts*.go")
	if err != nil {
		t.Fatal(err)
	}
	constant := regexp.MustCompile(`Verdict\w+\s+= "(\w+)"`)
	n := 0
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range constant.FindAllSubmatch(text, -1) {
			n++
			if !regexp.MustCompile(`'` + string(match[1]) + `\b`).MatchString(scripts.String()) {
				t.Errorf("%s: no script returns %s", source, match[1])
			}
		}
	}
	if n < 20 {
		t.Error(n, "verdicts found")
	}
}
