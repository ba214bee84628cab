package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A mutation is a replacement in the server's source, which changes independently of this suite.
func TestMutationsMatchTheServerSource(t *testing.T) {
	t.Parallel()
	source, err := sourceDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutations {
		text, err := os.ReadFile(filepath.Join(source, m.file))
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		if !strings.Contains(string(text), m.old) {
			t.Errorf("%s: %s does not contain %q", m.name, m.file, m.old)
		}
		if !slices.ContainsFunc(scenarios, func(s scenario) bool { return s.name == m.scenario }) {
			t.Errorf("%s: no scenario is named %q", m.name, m.scenario)
		}
	}
}

func TestScenarioNamesAreUnique(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, s := range slices.Concat(scenarios, mixes) {
		if seen[s.name] {
			t.Errorf("several scenarios are named %q", s.name)
		}
		seen[s.name] = true
	}
}
