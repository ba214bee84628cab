package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// A batch ends at whichever comes first: at a line whose number is a multiple of
// batchLines, or when it is large enough.
const (
	batchLines = 500
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
	block     int // the line at which its block of lines begins
	part      int // of the block
	published int
	before    int // published under the same request ids before
	refused   int
	unknown   []int // lines that may be published or not
}

func (c *client) publishFile(ctx context.Context, f publishFlags) error {
	input, size, err := openInput(f.file)
	if err != nil {
		return err
	}
	defer input.Close()
	u := &upload{client: c, flags: f, id: f.requestID, block: 1, progress: newProgress(c.stderr, size)}
	if u.id == "" {
		u.id = uuid.NewString()
	}
	// First, so that it is known however this ends.
	fmt.Fprintf(c.stderr, "argus publish: the request id is %s; if this stops early, the same file goes on with --request-id %s\n", u.id, shellWord(u.id))
	err = u.run(ctx, bufio.NewReaderSize(input, 1<<16))
	u.progress.clear()
	if printErr := u.summary(); printErr != nil {
		return printErr
	}
	again := "; the same command goes on with --request-id " + shellWord(u.id)
	switch {
	case ctx.Err() != nil:
		return codedError{code: exitInterrupted, err: errors.New("stopped before the end: interrupted" + again)}
	case isReason(err, "REQUEST_ID_CONFLICT"):
		return fmt.Errorf("lines %d to %d differ from what was published under the request id %s; publish changed lines as a file of their own",
			u.block, u.block+batchLines-1, u.id)
	case isReason(err, "INVALID_ARGUMENT"): // of the whole batch
		return err
	case err != nil:
		return fmt.Errorf("stopped before the end: %w%s", u.told(err), again)
	case u.refused > 0:
		return fmt.Errorf("%d of %d lines were refused", u.refused, u.refused+u.published+u.before)
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
		return nil, 0, usageError(fmt.Errorf("--file: %w", err))
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
		if number%batchLines == 0 {
			if err := u.flush(ctx); err != nil {
				return err
			}
			u.block, u.part = number+1, 0
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
	return nil
}

// flush publishes the batch, without the tasks that the server refuses. Its request id
// names its place in the file: a line that was changed since makes a conflict there, not
// tasks that are published twice.
func (u *upload) flush(ctx context.Context) error {
	id := fmt.Sprintf("%s-%d.%d", u.id, u.block, u.part)
	for len(u.batch) > 0 {
		response, err := u.send(ctx, id)
		if err == nil {
			if err := u.sent(response); err != nil {
				return err
			}
			break
		}
		bad, ok := u.badTask(err)
		if !ok || bad >= len(u.batch) {
			if u.mayHaveHappened(err) {
				u.unknown = u.lines
			}
			return err
		}
		u.refuse(u.lines[bad], errors.New(oneLine(status.Convert(err).Message())))
		u.batch, u.lines = slices.Delete(u.batch, bad, bad+1), slices.Delete(u.lines, bad, bad+1)
	}
	u.batch, u.lines, u.bytes = nil, nil, 0
	u.part++
	u.progress.show(u.published + u.before)
	return nil
}

// badTask is which task of the batch an INVALID_ARGUMENT or a JOB_ACTIVE is about.
func (u *upload) badTask(err error) (index int, ok bool) {
	if job := about(err)["job_id"]; isReason(err, "JOB_ACTIVE") && job != "" {
		index = slices.IndexFunc(u.batch, func(t *argusv1.Task) bool { return t.GetJobId() == job })
		return index, index >= 0
	}
	for _, detail := range status.Convert(err).Details() {
		if bad, is := detail.(*errdetails.BadRequest); is && len(bad.GetFieldViolations()) > 0 {
			_, scanErr := fmt.Sscanf(bad.GetFieldViolations()[0].GetField(), "tasks[%d]", &index)
			return index, scanErr == nil
		}
	}
	return 0, false
}

// finishFor is how long a batch that is on its way may take after ^C.
const finishFor = 5 * time.Second

// send publishes the batch. ^C does not cut it off at once: it is better to know what became
// of it.
func (u *upload) send(ctx context.Context, id string) (*argusv1.PublishBatchResponse, error) {
	call, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(finishFor, cancel) })()
	request := &argusv1.PublishBatchRequest{Queue: u.flags.queue, Tasks: u.batch, RequestId: id}
	var response *argusv1.PublishBatchResponse
	err := u.retry(ctx, func() (err error) {
		response, err = u.queue.PublishBatch(call, request)
		return err
	})
	return response, err
}

// mayHaveHappened is true of an error after which a batch may be published or not.
func (u *upload) mayHaveHappened(err error) bool {
	if isUnreachable(err) && !u.reached.Load() {
		return false
	}
	switch status.Code(err) {
	case codes.InvalidArgument, codes.AlreadyExists, codes.ResourceExhausted, codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented:
		return false
	}
	return true
}

func (u *upload) refuse(number int, err error) {
	u.refused++
	u.progress.clear()
	fmt.Fprintf(u.stderr, "%s:%d: %v\n", u.flags.file, number, err)
}
