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

// mutation is a defect that the suite must find: a replacement in one of the server's files.
type mutation struct {
	name, file, old, new string
	scenario             string // that finds it
}

var mutations = []mutation{
	{"the lease is not checked", "redis/internal/conn/lua/prelude.lua", "local function fence(stream, group, id, consumer, count)\n",
		"local function fence(stream, group, id, consumer, count)\n  if true then return nil end\n", "a worker is paused for longer than its leases"},
	{"the task is acknowledged in a separate step before its result is recorded", "redis/result/recorder.go", "	now := time.Now()\n	for len(pending) > 0 {\n",
		"	now := time.Now()\n	for _, p := range pending {\n		r.Commands.XAck(ctx, r.Keys.Tasks(p.lease.Queue), p.lease.Group, p.lease.EntryID)\n	}\n	for len(pending) > 0 {\n", "no fault"},
	{"MAXLEN on the task stream", "redis/internal/conn/lua/prelude.lua", "call('XADD', stream, 'NOMKSTREAM', '*'", "call('XADD', stream, 'NOMKSTREAM', 'MAXLEN', '20', '*'", "a worker is paused for longer than its leases"},
	{"a result is recorded without checks of the lease and of an earlier result", "redis/internal/conn/lua/complete.lua", "at, r.is_first = r.after, none_known and not seen[r.events]",
		"at, r.is_first, held[r.id] = r.after, true, tonumber(r.count)", "a worker is paused for longer than its leases"},
	{"a watch resumes at the last event instead of its cursor", "redis/watch/watcher.go", "	cursor, err := job.CheckCursor(\"after_cursor\", options.After)\n",
		"	cursor, err := job.CheckCursor(\"after_cursor\", options.After)\n	if h := w.hubOf(jobID); cursor != job.FirstCursor {\n		cursor = job.CursorAfter(job.CursorAfter(cursor))\n		if last, err := h.Commands.XRevRangeN(context.Background(), h.Keys.Completion(jobID), \"+\", \"-\", 1).Result(); err == nil && len(last) > 0 {\n			cursor = last[0].ID\n		}\n	}\n", "2000 watches reconnect at once"},
	{"a watch does not report lost events", "redis/watch/job_watch.go", "func (j *jobWatch) checkCursor(ctx context.Context) error {\n",
		"func (j *jobWatch) checkCursor(ctx context.Context) error {\n	if true {\n		return nil\n	}\n", "events of watched jobs are deleted"},
	{"tenants share their queues", "redis/job/keys.go", "{ return k.Prefix + queue }", "{ return queue }", "no fault"},
	{"the number of replicas that confirmed a write is ignored", "redis/internal/conn/replication.go", "wait.Val() < int64(queue.WaitReplicas)", "wait.Val() < 0", "Sentinel: the master is partitioned, wait_replicas 1"},
	{"the limit of tasks in flight per organization is ignored", "redis/internal/conn/lua/fair.lua", "elseif limit > 0 and tonumber(", "elseif false and tonumber(", "a worker is paused for longer than its leases"},
	{"connections to a replaced master are kept", "redis/internal/conn/master_conn.go", "if which(c) {", "if false && which(c) {", "Sentinel: the master is partitioned"},
}

// mutate tests a server with each mutation whose name contains word. It returns the number of
// mutations that the suite did not find.
func mutate(seed uint64, duration time.Duration, word string) (survivors int) {
	for _, m := range mutations {
		if !strings.Contains(m.name, word) {
			continue
		}
		found, err := m.find(seed, duration)
		if err != nil {
			log.Fatalf("%s: %v", m.name, err)
		}
		result := "found: " + found
		if found == "" {
			result = "NOT FOUND"
			survivors++
		}
		fmt.Printf("%-75s  %s\n", m.name, result)
	}
	return survivors
}

// find runs the mutation's scenario, and describes the failure that revealed it; "" if none did.
func (m mutation) find(seed uint64, duration time.Duration) (string, error) {
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
		return "", fmt.Errorf("%s does not contain %q", m.file, m.old)
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
		if s.name != m.scenario {
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
