// Package history records the calls of a task queue's clients and what they received while
// faults were injected, and checks the record against the queue's guarantees.
package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Log writes the history of one process. It writes each line immediately, so that the line
// survives a kill of the process. It is safe for concurrent use.
type Log struct {
	mu   sync.Mutex
	file *os.File
}

// Open opens the history of a client in a directory.
func Open(dir, client string) (*Log, error) {
	file, err := os.OpenFile(filepath.Join(dir, client+".jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return &Log{file: file}, err
}

// Add writes an event, and sets its time. It panics when the file cannot be written.
func (l *Log) Add(e Event) {
	e.At = time.Now()
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // unreachable: strings and times
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.file.Write(append(text, '\n')); err != nil {
		panic(err)
	}
}

// Read reads the histories of the clients whose names match a glob pattern, ordered by time. It
// skips a line that a kill truncated.
func Read(dir, clients string) ([]Event, error) {
	files, err := filepath.Glob(filepath.Join(dir, clients+".jsonl"))
	if err != nil {
		return nil, err
	}
	var all []Event
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e Event
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				all = append(all, e)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Event) int { return a.At.Compare(b.At) })
	return all, nil
}
