package broker_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// aclUser gives a server a user with the documented permissions, changed by further rules, and
// connects as that user.
func aclUser(t *testing.T, server *redistest.Server, rules ...string) *redis.Client {
	t.Helper()
	ctx, raw := redistest.Context(t), server.Engine().Raw(t)
	args := []any{"ACL", "SETUSER", "argus", "reset", "on", ">secret", "~argus:*", "&argus:argus_cancel:*"}
	for _, rule := range append(slices.Clone(redistest.Permissions), rules...) {
		args = append(args, rule)
	}
	if err := raw.Do(ctx, args...).Err(); err != nil {
		t.Fatal(err)
	}
	client, err := redis.NewClient(redis.Config{Addr: server.Addr, Username: "argus", Password: "secret", Prefix: "argus:"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// Permissions that the ACL denies are named before any work; the check writes nothing.
func TestMissingPermissionsAreNamed(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t)
	ctx, raw := redistest.Context(t), server.Engine().Raw(t)
	for rules, want := range map[string]struct{ missing, optional string }{
		"":                          {"", ""},
		"-xadd":                     {"+xadd", ""},
		"-xpending -hset -copy":     {"+copy +hset +xpending", ""},
		"-xgroup|create":            {"+xgroup|create", ""},
		"-multi":                    {"+multi", ""},
		"-exec":                     {"+exec", ""},
		"-evalsha":                  {"+evalsha", ""},
		"-publish -client|tracking": {"", "+client|tracking +publish"},
		"-scan -info -memory|usage": {"", "+info +memory|usage +scan"},
		"resetchannels":             {"", "&argus:argus_cancel:*"},
		"resetkeys ~other:*":        {"~argus:*", ""},
		"resetkeys ~argus:argus_*":  {"~argus:job_state:*", ""},
		"-wait":                     {"+wait", ""},
	} {
		client := aclUser(t, server, strings.Fields(rules)...)
		p, err := admin.CheckPermissions(ctx, client, job.Settings{Queue: job.QueueSettings{WaitReplicas: 1}})
		slices.Sort(p.Missing)
		missing, optional := strings.Join(p.Missing, " "), strings.Join(slices.Sorted(maps.Keys(p.Optional)), " ")
		if err != nil || missing != want.missing || optional != want.optional {
			t.Errorf("%s: %q and %q, %v", rules, missing, optional, err)
		}
		if err := p.Err(); (err == nil) != (missing == "") || err != nil && (!errors.Is(err, job.ErrNotPermitted) || !strings.Contains(err.Error(), p.Missing[0])) {
			t.Errorf("%s: %v", rules, err)
		}
	}
	if n := raw.DBSize(ctx).Val(); n != 0 {
		t.Error(n, "keys were written")
	}
}

// When a permission is withdrawn later, calls fail with an error that is not to be retried.
func TestPermissionWithdrawnLaterIsReported(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t)
	client := aclUser(t, server)
	ctx, raw := context.Background(), server.Engine().Raw(t)
	if err := client.Set(ctx, "x", "", 0); err != nil {
		t.Fatal(err)
	}
	states := redis.NewStateManager(client, redis.StateManagerConfig{})
	for _, rule := range []string{"-set", "-hset"} {
		if err := raw.Do(ctx, "ACL", "SETUSER", "argus", rule).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for what, err := range map[string]error{"command": client.Set(ctx, "x", "", 0), "script": states.SetField(ctx, "job", "a", "b")} {
		if !errors.Is(err, job.ErrNotPermitted) || errors.Is(err, job.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// docs/operations.md lists the permissions that the tests run with.
func TestDocumentationListsThePermissions(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```\nACL SETUSER")
	block, _, _ = strings.Cut(block, "```")
	var documented []string
	for _, word := range strings.Fields(block) {
		if strings.HasPrefix(word, "+") || strings.HasPrefix(word, "-") {
			documented = append(documented, word)
		}
	}
	if !slices.Equal(documented, redistest.Permissions) {
		t.Errorf("docs/operations.md has %q, the tests run with %q", documented, redistest.Permissions)
	}
}
