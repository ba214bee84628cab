package serve

import (
	"os"
	"strings"
	"testing"
)

func TestSecretsInFlagsAreWarnedOf(t *testing.T) {
	t.Parallel()
	open, closed := writeFile(t, "open", "hunter2"), writeFile(t, "closed", "hunter2")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		want []string
	}{
		"flag":        {args: []string{"--redis-password", "hunter2"}, want: []string{"--redis-password: a secret in a flag can be read in the list of processes and in the shell's history; put it into a file and give --redis-password-file"}},
		"sentinel":    {args: []string{"--redis-sentinel-password", "hunter2"}, want: []string{"--redis-sentinel-password-file"}},
		"environment": {env: map[string]string{"ARGUS_REDIS_PASSWORD": "hunter2"}},
		"closed file": {args: []string{"--redis-password-file", closed}},
		"open file":   {args: []string{"--redis-password-file", open}, want: []string{"--redis-password-file: every user of this machine can read " + open}},
	} {
		config, err := load(t, c.env, c.args...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		warnings := config.settings.Warnings()
		if len(warnings) != len(c.want) {
			t.Errorf("%s: %q", name, warnings)
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(warnings[i], want) || strings.Contains(warnings[i], "hunter2") {
				t.Errorf("%s: %q, want %q", name, warnings[i], want)
			}
		}
	}
}
