package broker_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A prefix that begins another one in use, or begins with one, is refused.
func TestNestedPrefixIsRefused(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		if e.Real() {
			e = redistest.Own(t).Engine() // the empty prefix looks at all keys
		}
		use := func(prefix string) {
			t.Helper()
			b := setup(t, redistest.Engine{Name: e.Name, Addr: e.Addr, Prefix: prefix}, job.Settings{})
			b.publish(t, job.Task{})
		}
		use("prod:eu:")
		for prefix, other := range map[string]string{
			"prod:": `"prod:eu:"`, "": `"`, "prod:eu:west:": `"prod:eu:"`, "prod:eu:x": `"prod:eu:"`, "p": `"prod:eu:"`, "prod:eu:{tag}:": `"prod:eu:"`,
			"prod:eu:": "", "prod:us:": "", "prod:eu-west:": "", "prod:e:": "", "test:": "",
		} {
			client, err := redis.NewClient(redis.Config{Addr: e.Addr, Prefix: prefix})
			if err != nil {
				t.Fatal(err)
			}
			err = admin.CheckPrefix(redistest.Context(t), client)
			if other == "" && err != nil || other != "" && (!errors.Is(err, job.ErrInvalid) || !strings.Contains(err.Error(), other)) {
				t.Errorf("%q: %v", prefix, err)
			}
			_ = client.Close()
		}
	})
}

// A prefix within this one that another server begins to use is logged.
func TestNestedPrefixUsedLaterIsLogged(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		log := &logged{}
		b := setup(t, e, job.Settings{Logger: newLog(log)})
		b.publish(t, job.Task{})
		inner := e
		inner.Prefix += "eu:"
		setup(t, inner, job.Settings{}).publish(t, job.Task{})
		for range 2 {
			if err := b.broker.Clean(b.ctx); err != nil {
				t.Fatal(err)
			}
		}
		if n := strings.Count(log.text.String(), "another prefix begins with this one"); n != 1 {
			t.Errorf("%d messages:\n%s", n, log.text.String())
		}
	})
}
