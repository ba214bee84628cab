package job

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// Lease identifies one delivery of one entry. Scripts compare it with the pending entry before they act, so
// that a worker cannot settle a task that went to another one. A worker presents it as a token.
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

// maxTokenBytes bounds a token: five names, an entry id and a prefix, as base64.
const maxTokenBytes = 4096

// StrictBase64 is base64url without padding, which rejects non-zero trailing bits.
var StrictBase64 = base64.RawURLEncoding.Strict()

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Token encodes the lease: base64url of a version, the fields with their lengths, and a CRC-32C. A token is
// not a secret and proves no identity; the checksum only keeps a damaged token from looking like a lost lease.
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

// ParseLease decodes a token. Every error is an ErrLeaseToken.
func ParseLease(token string) (Lease, error) {
	bad := func(problem string) (Lease, error) {
		return Lease{}, fmt.Errorf("%w: %s", ErrLeaseToken, problem)
	}
	const malformed = "it is malformed"
	switch {
	case token == "":
		return bad("it is empty")
	case len(token) > maxTokenBytes:
		return bad("it is too long")
	case strings.ContainsAny(token, "\r\n"): // the decoder ignores line ends
		return bad(malformed)
	}
	var space [512]byte
	b, err := StrictBase64.AppendDecode(space[:0], []byte(token))
	if err != nil || len(b) < 5 || b[0] != tokenVersion {
		return bad(malformed)
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return bad("its checksum is wrong")
	}
	l, ok := decodeLease(body[1:])
	if !ok || !l.isValid() {
		return bad(malformed)
	}
	return l, nil
}

// decodeLease decodes the body of a token: the fields with their lengths, and the count.
func decodeLease(rest []byte) (Lease, bool) {
	var l Lease
	text := string(rest) // the fields share one string
	for _, field := range [...]*string{&l.Prefix, &l.Queue, &l.Group, &l.EntryID, &l.Consumer, &l.JobID} {
		size, n := shortUvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			return Lease{}, false
		}
		*field = text[n : n+int(size)]
		rest, text = rest[n+int(size):], text[n+int(size):]
	}
	count, n := shortUvarint(rest)
	if n <= 0 || n != len(rest) || count > 1<<31-1 {
		return Lease{}, false
	}
	l.Count = int(count)
	return l, true
}

// shortUvarint is binary.Uvarint, restricted to the shortest encoding so that a lease has one token only.
func shortUvarint(b []byte) (uint64, int) {
	value, n := binary.Uvarint(b)
	if n > 1 && b[n-1] == 0 {
		return 0, -1
	}
	return value, n
}

// isValid reports whether every name of the lease passes its check.
func (l Lease) isValid() bool {
	_, _, isID := SplitCursor(l.EntryID)
	return isID && CheckQueue("queue", l.Queue) == nil && CheckID("group", l.Group) == nil &&
		CheckConsumer("consumer", l.Consumer) == nil && CheckID("job_id", l.JobID) == nil
}

// Args returns the arguments with which the scripts identify a delivery.
func (l Lease) Args() []any {
	return []any{l.EntryID, l.Consumer, strconv.Itoa(l.Count)}
}

// Mark returns the text that identifies the lease in the completion event recorded under it.
func (l Lease) Mark() string {
	return l.EntryID + " " + strconv.Itoa(l.Count) + " " + l.Consumer + " " + l.Group + " " + l.Queue
}
