package examples_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// snippet matches a link to an example and the code block that follows it.
var snippet = regexp.MustCompile("(?s)\\]\\((examples/[^)]+)\\)\\):\n\n```(?:go|python|ts)\n(.*?)```")

// The README shows a part of each minimal worker as it is in the example, which
// TestLanguagesMinimalWorkers runs.
func TestReadmeShowsTheExamples(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := snippet.FindAllStringSubmatch(string(readme), -1)
	if len(found) != 3 {
		t.Fatalf("the README has %d snippets of examples, want 3", len(found))
	}
	for _, s := range found {
		if code, err := os.ReadFile("../" + s[1]); err != nil || !strings.Contains(string(code), s[2]) {
			t.Errorf("the README's snippet is not in %s: %v\n%s", s[1], err, s[2])
		}
	}
}
