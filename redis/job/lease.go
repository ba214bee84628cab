package job

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// Lease names one delivery of one entry: what a fence compares. Its token is what a
// worker shows. The token is no secret and proves no identity; its checksum only
// keeps a mangled one from being taken for a lease that was lost.
type Lease struct {
	Prefix   string // the tenant
	Queue    string
	Group    string
	EntryID  string
	Consumer string
	Count    int // deliveries of this entry so far, this one included
	JobID    string
}

// tokenVersion is the first byte of a token.
const tokenVersion = 1

var StrictBase64 = base64.RawURLEncoding.Strict()

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Token encodes the lease: base64url of a version, the fields with their lengths, and
// a CRC-32C.
func (l Lease) Token() string {
	var space [256]byte
	b := append(space[:0], tokenVersion)
	for _, field := range [...]string{l.Prefix, l.Queue, l.Group, l.EntryID, l.Consumer, l.JobID} {
		b = binary.AppendUvarint(b, uint64(len(field)))
		b = append(b, field...)
	}
	b = binary.AppendUvarint(b, uint64(l.Count))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	var text [512]byte
	return string(base64.RawURLEncoding.AppendEncode(text[:0], b))
}

// maxTokenBytes bounds a token: five names, an entry id and a prefix, as base64.
const maxTokenBytes = 4096

// ParseLease reads a token. Every fault of it is an ErrLeaseToken.
func ParseLease(token string) (Lease, error) {
	bad := func(problem string) (Lease, error) {
		return Lease{}, fmt.Errorf("%w: %s", ErrLeaseToken, problem)
	}
	if token == "" {
		return bad("it is empty")
	}
	if len(token) > maxTokenBytes {
		return bad("it is too long")
	}
	if strings.ContainsAny(token, "\r\n") { // the decoder would pass over them
		return bad("it is not in the form of one")
	}
	var space [512]byte
	b, err := StrictBase64.AppendDecode(space[:0], []byte(token))
	if err != nil || len(b) < 5 || b[0] != tokenVersion {
		return bad("it is not in the form of one")
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return bad("it was changed on its way")
	}
	var l Lease
	rest, text := body[1:], string(body[1:]) // the fields share one string
	for _, field := range [...]*string{&l.Prefix, &l.Queue, &l.Group, &l.EntryID, &l.Consumer, &l.JobID} {
		size, n := shortUvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			return bad("it is not in the form of one")
		}
		*field = text[n : n+int(size)]
		rest, text = rest[n+int(size):], text[n+int(size):]
	}
	count, n := shortUvarint(rest)
	if n <= 0 || n != len(rest) || count > 1<<31-1 {
		return bad("it is not in the form of one")
	}
	l.Count = int(count)
	_, _, isID := SplitCursor(l.EntryID)
	if !isID ||
		CheckQueue("queue", l.Queue) != nil || CheckID("group", l.Group) != nil ||
		CheckConsumer("consumer", l.Consumer) != nil || CheckID("job_id", l.JobID) != nil {
		return bad("it is not in the form of one")
	}
	return l, nil
}

// shortUvarint is binary.Uvarint for a number that is written as short as it can be: a
// lease has one token.
func shortUvarint(b []byte) (uint64, int) {
	value, n := binary.Uvarint(b)
	if n > 1 && b[n-1] == 0 {
		return 0, -1
	}
	return value, n
}

// Args are the lease as the scripts take it.
func (l Lease) Args() []any {
	return []any{l.EntryID, l.Consumer, strconv.Itoa(l.Count)}
}

// Mark identifies the lease in the completion event that was recorded under it.
func (l Lease) Mark() string {
	return l.EntryID + " " + strconv.Itoa(l.Count) + " " + l.Consumer + " " + l.Group + " " + l.Queue
}
