package conn

import (
	"strings"
	"testing"
)

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config Config
		say    string
	}{
		"cluster without a tag": {Config{Cluster: true, Prefix: "argus:"}, `use "{argus}:"`},
		"empty tag":             {Config{Cluster: true, Prefix: "{}:"}, "hash tag"},
		"cluster and sentinel":  {Config{Cluster: true, MasterName: "m", Prefix: "{a}"}, "either"},
		"cluster database":      {Config{Cluster: true, DB: 1, Prefix: "{a}"}, "database 0"},
		"glob prefix":           {Config{Prefix: "a*"}, "glob"},
		"pool":                  {Config{PoolSize: -1}, "pool_size"},
		"time-out":              {Config{ReadTimeout: -1}, "positive"},
	} {
		if err := c.config.Validate(); err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (Config{Cluster: true, Prefix: "{argus}:"}).Validate(); err != nil {
		t.Error(err)
	}
}
