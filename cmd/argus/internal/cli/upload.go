package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// A batch ends at a line whose number is a multiple of batchLines, or when it has batchBytes.
const (
	batchLines = 500
	batchBytes = 1 << 20
)

// upload publishes the tasks of a file, batch by batch.
type upload struct {
	*client.Client
	file, queue string
	requestID   string // the start of the batches' request ids
	progress    *progress
	batch       batch
	block       int // the first line of the current batchLines lines
	part        int // how many batches of the block are published
	published   int
	before      int // published earlier, under the same request ids
	refused     int
	unknown     []int // lines of which the server did not say whether they are published
}

// batch has the tasks of one call, and their lines in the file.
type batch struct {
	tasks []*argusv1.Task
	lines []int
	bytes int
}

func publishFile(ctx context.Context, c *client.Client, f publishFlags) error {
	input, size, err := openInput(c.Stdin, f.file)
	if err != nil {
		return err
	}
	defer input.Close()
	u := &upload{Client: c, file: f.file, queue: f.queue, requestID: f.requestID, block: 1, progress: newProgress(c.Stderr, size)}
	if u.requestID == "" {
		u.requestID = uuid.NewString()
	}
	// Printed first, so that the user has it whatever ends the upload.
	fmt.Fprintf(c.Stderr, "argus publish: the request id is %s; if this stops early, the same file continues with --request-id %s\n", u.requestID, shell.Word(u.requestID))
	err = u.run(ctx, readLines(ctx, input))
	u.progress.clear()
	if printErr := u.printSummary(); printErr != nil {
		return printErr
	}
	return u.exitError(ctx, err)
}

// exitError explains how the upload ended, and how to continue it.
func (u *upload) exitError(ctx context.Context, err error) error {
	again := "; the same command continues with --request-id " + shell.Word(u.requestID)
	switch {
	case ctx.Err() != nil:
		return shell.ExitError{Code: shell.ExitInterrupted, Err: errors.New("stopped before the end: interrupted" + again)}
	case client.HasReason(err, "REQUEST_ID_CONFLICT"):
		return fmt.Errorf("lines %d to %d differ from what was published under the request id %s; publish changed lines as a file of their own",
			u.block, u.block+batchLines-1, u.requestID)
	case client.HasReason(err, "INVALID_ARGUMENT"): // of the whole batch
		return err
	case err != nil:
		return fmt.Errorf("stopped before the end: %w%s", u.ExitError(err), again)
	case u.refused > 0:
		return fmt.Errorf("%d of %d lines were refused", u.refused, u.refused+u.published+u.before)
	}
	return nil
}

// openInput opens a file, or the standard input; its size is 0 when it is unknown.
func openInput(stdin io.Reader, path string) (io.ReadCloser, int64, error) {
	if path == "-" {
		return io.NopCloser(stdin), 0, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, shell.Usagef("--file: %w", err)
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return file, 0, err
	}
	return file, info.Size(), nil
}

// run publishes the lines until they end, or ctx does.
func (u *upload) run(ctx context.Context, lines <-chan line) error {
	for number := 1; ; number++ {
		var l line
		select {
		case l = <-lines:
		case <-ctx.Done():
			return ctx.Err()
		}
		isLast, err := u.addLine(ctx, number, l)
		if err != nil {
			return err
		}
		if isLast {
			return u.flush(ctx)
		}
		if number%batchLines == 0 {
			if err := u.flush(ctx); err != nil {
				return err
			}
			u.block, u.part = number+1, 0
		}
	}
}

// addLine adds a line's task to the batch, or refuses the line.
func (u *upload) addLine(ctx context.Context, number int, l line) (isLast bool, err error) {
	u.progress.read += int64(len(l.text)) + 1
	if !l.isBlank() {
		if err := u.addTask(ctx, number, l.text); err != nil {
			return false, err
		}
	}
	switch {
	case errors.Is(l.err, errLongLine):
		u.refuse(number, l.err)
		return false, nil
	case errors.Is(l.err, io.EOF):
		return true, nil
	}
	return false, l.err
}

// addTask adds a task to the batch, and publishes the batch first if it would get too large.
func (u *upload) addTask(ctx context.Context, number int, text []byte) error {
	task := &argusv1.Task{}
	if err := protojson.Unmarshal(text, task); err != nil {
		u.refuse(number, fmt.Errorf("not a task: %s", output.OneLine(err.Error())))
		return nil
	}
	size := proto.Size(task)
	if len(u.batch.tasks) > 0 && u.batch.bytes+size > batchBytes {
		if err := u.flush(ctx); err != nil {
			return err
		}
	}
	b := &u.batch
	b.tasks, b.lines, b.bytes = append(b.tasks, task), append(b.lines, number), b.bytes+size
	return nil
}

// refuse reports a line that is not published.
func (u *upload) refuse(number int, err error) {
	u.refused++
	u.progress.clear()
	fmt.Fprintf(u.Stderr, "%s:%d: %v\n", u.file, number, err)
}
