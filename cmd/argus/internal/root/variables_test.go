package root

import (
	"bytes"
	"testing"
)

// known returns the variables that the program knows.
func known() []string {
	return KnownVariables(discarded())
}

func TestMisspelledVariableIsAWarning(t *testing.T) {
	t.Parallel()
	for variable, want := range map[string]string{
		"ARGUS_ADR=x":           "argus: warning: unknown environment variable ARGUS_ADR: it is ignored; did you mean ARGUS_ADDR?\n",
		"ARGUS_REDIS_ADDRES=x":  "argus: warning: unknown environment variable ARGUS_REDIS_ADDRES: it is ignored; did you mean ARGUS_REDIS_ADDR?\n",
		"ARGUS_XYZXYZ=x":        "argus: warning: unknown environment variable ARGUS_XYZXYZ: it is ignored\n",
		"ARGUS_JOB_ID=x":        "",
		"ARGUS_LEASE_TOKEN=x":   "",
		"ARGUS_README_TEST=x":   "",
		"ARGUS_EXAMPLES_TEST=x": "",
		"ARGUS_REDIS_POOL_SIZE": "",
		"ARGUS_GROUPS=x":        "",
		"OTHER_ADR=x":           "",
		// Kubernetes makes these for a service called argus.
		"ARGUS_SERVICE_HOST=x": "", "ARGUS_SERVICE_PORT_GRPC=x": "", "ARGUS_PORT=x": "", "ARGUS_PORT_7233_TCP_ADDR=x": "",
	} {
		var text bytes.Buffer
		if warnOfVariables(&text, []string{variable}, known()); text.String() != want {
			t.Errorf("%s: %q, want %q", variable, &text, want)
		}
	}
}
