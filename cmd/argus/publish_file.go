package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// A batch ends at whichever comes first.
const (
	batchTasks = 500
	batchBytes = 1 << 20
	// maxLine is how long a line may be: more than a task can hold.
	maxLine = 8 << 20
)

// upload publishes the tasks of a file, batch by batch.
type upload struct {
	*client
	flags     publishFlags
	id        string // the start of the batches' request ids
	progress  *progress
	batch     []*argusv1.Task
	lines     []int // where the batch's tasks stand
	bytes     int
	batches   int
	published int
	refused   int
}

func (c *client) publishFile(ctx context.Context, f publishFlags) error {
	input, size, err := openInput(f.file)
	if err != nil {
		return err
	}
	defer input.Close()
	u := &upload{client: c, flags: f, id: f.requestID, progress: newProgress(c.stderr, size)}
	if u.id == "" {
		u.id = uuid.NewString()
	}
	err = u.run(ctx, bufio.NewReaderSize(input, 1<<16))
	u.progress.end()
	summary := fmt.Sprintf("%d published", u.published)
	if u.refused > 0 {
		summary += fmt.Sprintf(", %d refused", u.refused)
	}
	if _, printErr := fmt.Fprintln(c.stdout, summary); printErr != nil {
		return printErr
	}
	switch {
	case ctx.Err() != nil:
		return codedError{code: exitInterrupted, err: errors.New("stopped before the end: interrupted")}
	case err != nil:
		return fmt.Errorf("stopped before the end: %w", u.told(err))
	case u.refused > 0:
		return fmt.Errorf("%d of %d lines were refused", u.refused, u.refused+u.published)
	}
	return nil
}

// openInput opens a file, or the standard input; its size is 0 when it is not known.
func openInput(path string) (io.ReadCloser, int64, error) {
	if path == "-" {
		return io.NopCloser(os.Stdin), 0, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, usageError(fmt.Errorf("file: %w", err))
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return file, 0, err
	}
	return file, info.Size(), nil
}

func (u *upload) run(ctx context.Context, input *bufio.Reader) error {
	lines := make(chan inputLine)
	go func() { // a read of a terminal or a pipe can't be interrupted: it is left behind
		for {
			text, err := readLine(input)
			select {
			case lines <- inputLine{text, err}:
			case <-ctx.Done():
				return
			}
			if err != nil && !errors.Is(err, errLongLine) {
				return
			}
		}
	}()
	for number := 1; ; number++ {
		var line []byte
		var err error
		select {
		case next := <-lines:
			line, err = next.text, next.err
		case <-ctx.Done():
			return ctx.Err()
		}
		u.progress.read += int64(len(line)) + 1
		if len(bytes.TrimSpace(line)) > 0 {
			if err := u.add(ctx, number, line); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, errLongLine):
			u.refuse(number, err)
		case errors.Is(err, io.EOF):
			return u.flush(ctx)
		case err != nil:
			return err
		}
	}
}

// inputLine is a line, or why there is none.
type inputLine struct {
	text []byte
	err  error
}

var errLongLine = fmt.Errorf("longer than %d bytes", maxLine)

// readLine reads a line without its end; one that is too long is skipped.
func readLine(input *bufio.Reader) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := input.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxLine; !long {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if long && (err == nil || errors.Is(err, io.EOF)) {
			return nil, errLongLine
		}
		return bytes.TrimRight(line, "\r\n"), err
	}
}

func (u *upload) add(ctx context.Context, number int, line []byte) error {
	task := &argusv1.Task{}
	if err := protojson.Unmarshal(line, task); err != nil {
		u.refuse(number, fmt.Errorf("not a task: %s", oneLine(err.Error())))
		return nil
	}
	size := proto.Size(task)
	if len(u.batch) > 0 && u.bytes+size > batchBytes {
		if err := u.flush(ctx); err != nil {
			return err
		}
	}
	u.batch, u.lines, u.bytes = append(u.batch, task), append(u.lines, number), u.bytes+size
	if len(u.batch) == batchTasks {
		return u.flush(ctx)
	}
	return nil
}

// flush publishes the batch. When a task in it is refused, each goes by itself.
func (u *upload) flush(ctx context.Context) error {
	if len(u.batch) == 0 {
		return nil
	}
	err := u.send(ctx, u.batch)
	if isReason(err, "INVALID_ARGUMENT") {
		err = nil
		for i, task := range u.batch {
			one := u.send(ctx, []*argusv1.Task{task})
			if isReason(one, "INVALID_ARGUMENT") {
				u.refuse(u.lines[i], errors.New(oneLine(status.Convert(one).Message())))
			} else if one != nil {
				return one
			}
		}
	}
	u.batch, u.lines, u.bytes = nil, nil, 0
	u.progress.show(u.published)
	return err
}

func (u *upload) send(ctx context.Context, tasks []*argusv1.Task) error {
	u.batches++
	request := &argusv1.PublishBatchRequest{Queue: u.flags.queue, Tasks: tasks, RequestId: fmt.Sprintf("%s-%d", u.id, u.batches)}
	err := u.retry(ctx, func() error {
		_, err := u.queue.PublishBatch(ctx, request)
		return err
	})
	if err == nil {
		u.published += len(tasks)
	}
	return err
}

func (u *upload) refuse(number int, err error) {
	u.refused++
	u.progress.clear()
	fmt.Fprintf(u.stderr, "%s:%d: %v\n", u.flags.file, number, err)
}

// progress shows how far a long work is, on a terminal only.
type progress struct {
	to    io.Writer // nil when there is no terminal
	total int64
	read  int64
	last  time.Time
}

func newProgress(to io.Writer, total int64) *progress {
	if !isTerminal(to) {
		to = nil
	}
	return &progress{to: to, total: total}
}

const progressPeriod = 100 * time.Millisecond

func (p *progress) show(done int) {
	if p.to == nil || time.Since(p.last) < progressPeriod {
		return
	}
	p.last = time.Now()
	if p.total == 0 {
		fmt.Fprintf(p.to, "\r%d published", done)
		return
	}
	const width = 30
	share := min(1, float64(p.read)/float64(p.total))
	bar := bytes.Repeat([]byte("#"), int(share*width))
	fmt.Fprintf(p.to, "\r[%-*s] %3.0f%%  %d published", width, bar, share*100, done)
}

// clear makes room for a line of text.
func (p *progress) clear() {
	if p.to != nil && !p.last.IsZero() {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}

func (p *progress) end() {
	p.last = time.Unix(1, 0)
	p.clear()
}
