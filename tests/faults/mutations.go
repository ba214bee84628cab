package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// mutation breaks the product, so that the suite can be seen to find it.
type mutation struct {
	name, file, old, new string
	fault                string // under which it shows
}

var mutations = []mutation{
	{"no fence", "redis/lua/prelude.lua", "local function fence(stream, group, id, consumer, count)\n",
		"local function fence(stream, group, id, consumer, count)\n  if true then return nil end\n", "a worker stands still"},
	{"the task is acknowledged before its result is written, in a step of its own", "redis/complete.go", "	for range maxQuestions {\n		replies, err := b.runComplete(",
		"	for i := range all {\n		_, _ = b.Ack(ctx, []string{all[i].lease.Token()})\n	}\n	for range maxQuestions {\n		replies, err := b.runComplete(", "nothing"},
	{"MAXLEN on the task stream", "redis/lua/publish.lua", "call('XADD', stream, '*'", "call('XADD', stream, 'MAXLEN', '20', '*'", "a worker stands still"},
	{"a result is recorded without a look at the lease and at the one that stands", "redis/lua/complete.lua", "at, r.is_first = r.after, none_known and not seen[r.events]",
		"at, r.is_first, held[r.id] = r.after, true, tonumber(r.count)", "a worker stands still"},
	{"a watch goes on after the last event instead of its cursor", "redis/watch.go", "	cursor, err := checkCursor(\"after_cursor\", options.After)\n",
		"	cursor, err := checkCursor(\"after_cursor\", options.After)\n	if cursor != firstCursor {\n		cursor = cursorAfter(cursorAfter(cursor))\n		if last, err := w.of(jobID).client.commands.XRevRangeN(context.Background(), w.of(jobID).keys.completion(jobID), \"+\", \"-\", 1).Result(); err == nil && len(last) > 0 {\n			cursor = last[0].ID\n		}\n	}\n", "2000 watches connect"},
	{"a watch is not told that events were lost", "redis/watch.go", "func (w *Watches) resume(ctx context.Context, f *follower) error {\n",
		"func (w *Watches) resume(ctx context.Context, f *follower) error {\n	if true {\n		return nil\n	}\n", "events of watched jobs"},
	{"tenants share their queues", "redis/keys.go", "{ return k.prefix + queue }", "{ return queue }", "nothing"},
	{"it does not matter how many replicas have a write", "redis/wait.go", "wait.Val() < int64(queue.WaitReplicas)", "wait.Val() < 0", "Sentinel: the same, wait_replicas"},
	{"an organization may have any number of tasks in flight", "redis/lua/fair.lua", "elseif limit > 0 and tonumber(", "elseif false and tonumber(", "a worker stands still"},
	{"connections to a master that was replaced are kept", "redis/master_conn.go", "if which(c) {", "if false && which(c) {", "Sentinel: the master is parted"},
}

// mutate runs the suite on broken products; each must be found out.
func mutate(seed uint64, duration time.Duration, word string) (survivors int) {
	for _, m := range mutations {
		if !strings.Contains(m.name, word) {
			continue
		}
		found, err := m.isFound(seed, duration)
		if err != nil {
			log.Fatalf("%s: %v", m.name, err)
		}
		verdict := "found: " + found
		if found == "" {
			verdict = "NOT FOUND"
			survivors++
		}
		fmt.Printf("%-75s  %s\n", m.name, verdict)
	}
	return survivors
}

func (m mutation) isFound(seed uint64, duration time.Duration) (string, error) {
	dir, err := os.MkdirTemp("", "argus-mutation-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	source, err := sourceDir()
	if err != nil {
		return "", err
	}
	original := filepath.Join(source, m.file)
	text, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	if !strings.Contains(string(text), m.old) {
		return "", fmt.Errorf("%s does not hold %q", m.file, m.old)
	}
	broken := filepath.Join(dir, filepath.Base(m.file))
	if err := os.WriteFile(broken, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600); err != nil {
		return "", err
	}
	overlay, _ := json.Marshal(map[string]map[string]string{"Replace": {original: broken}})
	overlayFile := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		return "", err
	}
	argus := filepath.Join(dir, "argus")
	if err := buildArgus(argus, "-overlay", overlayFile); err != nil {
		return "", err
	}
	for _, s := range scenarios {
		if !strings.Contains(s.name, m.fault) {
			continue
		}
		r := run(s, argus, seed, duration)
		if r.err != nil {
			return r.err.Error(), nil
		}
		if v := r.report.Violations; len(v) > 0 {
			return fmt.Sprintf("%d violations, such as %s", len(v), v[0]), nil
		}
	}
	return "", nil
}
