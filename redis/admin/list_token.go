package admin

import (
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// listToken is the position of a list after a source's cursor.
func listToken(source, after string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(source + "\x00" + after))
}

// findSource returns where a list continues. The sources are in the order of their names. If the token's source, a
// group, was deleted, the list continues with the next one.
func findSource(sources []taskSource, token string) (i int, after string, err error) {
	if token == "" {
		return 0, "", nil
	}
	text, err := job.StrictBase64.DecodeString(token)
	source, after, ok := strings.Cut(string(text), "\x00")
	if err != nil || !ok {
		return 0, "", job.ErrPageToken
	}
	i = slices.IndexFunc(sources, func(s taskSource) bool { return s.name >= source })
	switch {
	case i < 0:
		return len(sources), "", nil
	case sources[i].name != source:
		return i, "", nil
	}
	return i, after, nil
}

// dueCursor is a cursor of the delayed tasks: the score of the last task, and how many tasks with this score were
// listed.
type dueCursor struct {
	due    string
	listed int64
}

// String encodes the cursor.
func (c dueCursor) String() string { return c.due + " " + strconv.FormatInt(c.listed, 10) }

// next is the cursor after a task with a score.
func (c dueCursor) next(score float64) dueCursor {
	if due := strconv.FormatFloat(score, 'f', -1, 64); due != c.due {
		c = dueCursor{due: due}
	}
	c.listed++
	return c
}

// parseDue reads a cursor of the delayed tasks; "" is the beginning.
func parseDue(cursor string) (dueCursor, error) {
	if cursor == "" {
		return dueCursor{due: "-inf"}, nil
	}
	due, text, _ := strings.Cut(cursor, " ")
	_, dueErr := strconv.ParseFloat(due, 64)
	listed, listedErr := resp.Number(text)
	if errors.Join(dueErr, listedErr) != nil || listed < 0 {
		return dueCursor{}, job.ErrPageToken
	}
	return dueCursor{due: due, listed: listed}, nil
}

// backlogHead is the part of a member of a backlog that determines its place; a member in another form is
// truncated instead.
func backlogHead(member string) string {
	const most, sequence = 1 << 10, 1 + 14
	length, rest, ok := strings.Cut(member, ":")
	n, err := strconv.Atoi(length)
	if !ok || err != nil || n < 0 || n > len(rest)-sequence {
		return member[:min(len(member), most)]
	}
	return member[:len(length)+1+n+sequence]
}
