package job

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxReasonBytes is how long the reason of a Nack may be.
const MaxReasonBytes = 4 << 10

// MaxNameBytes is how long ids, names of queues, groups and consumers, and names of
// fields may be.
const MaxNameBytes = 256

// checkText is the check that every name passes: it becomes part of a key or of a
// command, and people read it.
func checkText(field, name string) error {
	switch {
	case name == "":
		return Invalid(field, "must not be empty")
	case len(name) > MaxNameBytes:
		return Invalid(field, "has %d bytes, at most %d are allowed", len(name), MaxNameBytes)
	case !utf8.ValidString(name):
		return Invalid(field, "must be UTF-8")
	}
	if i := strings.IndexFunc(name, unicode.IsControl); i >= 0 {
		return Invalid(field, "must not contain control characters (there is one at byte %d)", i)
	}
	if i := strings.IndexFunc(name, isInvisible); i >= 0 {
		r, _ := utf8.DecodeRuneInString(name[i:])
		return Invalid(field, "must not contain characters that can't be seen or change the direction of text (%U at byte %d)", r, i)
	}
	if strings.TrimFunc(name, unicode.IsSpace) == "" {
		return Invalid(field, "must not be only spaces")
	}
	return nil
}

// isInvisible is true of a character by which a name looks like another one: formatting, such as
// the direction of text and joiners of no width, separators of lines, and letters without a glyph.
// Control characters are not among them.
func isInvisible(r rune) bool {
	switch r {
	case '\u034f', '\u115f', '\u1160', '\u17b4', '\u17b5', '\u3164', '\uffa0':
		return true
	}
	return r > unicode.MaxASCII && unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// CheckID checks an id or a name that becomes part of a key: 1 to 256 bytes of UTF-8
// without control and invisible characters, not only spaces, and without braces (they would move the key to another Cluster
// slot) and glob characters. The error is an *ArgumentError for field.
func CheckID(field, id string) error {
	if err := checkText(field, id); err != nil {
		return err
	}
	if i := strings.IndexAny(id, `{}*?[]\`); i >= 0 {
		return Invalid(field, "must not contain %q; braces, glob characters and backslashes are reserved", id[i])
	}
	return nil
}

// CheckQueue checks the name of a queue: an id without the names of our key families between
// colons, by which it would be a key of ours, or of a tenant whose prefix begins with ours.
func CheckQueue(field, queue string) error {
	if err := CheckID(field, queue); err != nil {
		return err
	}
	if !strings.Contains(queue, ":") {
		return nil
	}
	for segment := range strings.SplitSeq(queue, ":") {
		if segment == StateFamily || strings.HasPrefix(segment, metaPrefix) {
			return Invalid(field, "has the part %q between colons, which is reserved, as are all that begin with %q; choose another", Clip(segment), metaPrefix)
		}
	}
	return nil
}

// ReleasedConsumer is the consumer that has what was given back (lua/release.lua). It is no id, so that
// no worker can be called so; that of servers of an earlier version is one.
const (
	ReleasedConsumer       = "{argus-released}"
	FormerReleasedConsumer = "argus-released"
)

// CheckConsumer checks the name of a consumer: an id that is not the service's own.
func CheckConsumer(field, consumer string) error {
	if consumer == FormerReleasedConsumer {
		return Invalid(field, "%q is the service's own; choose another", consumer)
	}
	return CheckID(field, consumer)
}

// MaxParts is how many parts a job may have.
const MaxParts = 64

// checkPart checks the name of a part of a job: an id without spaces and "=".
func checkPart(field, part string) error {
	if err := CheckID(field, part); err != nil {
		return err
	}
	if i := strings.IndexFunc(part, func(r rune) bool { return r == '=' || unicode.IsSpace(r) }); i >= 0 {
		return Invalid(field, "must not contain spaces or '='")
	}
	return nil
}

// CheckParts checks the list of a job's parts.
func CheckParts(field string, parts []string) error {
	if len(parts) > MaxParts {
		return Invalid(field, "has %d entries, at most %d are allowed", len(parts), MaxParts)
	}
	for i, part := range parts {
		at := fmt.Sprintf("%s[%d]", field, i)
		if err := checkPart(at, part); err != nil {
			return err
		}
		if slices.Contains(parts[:i], part) {
			return Invalid(at, "is there twice")
		}
	}
	return nil
}

// metaPrefix begins the names of fields and keys that are the service's own.
const metaPrefix = "argus_"

// ownFields are the names of fields that the service itself keeps in task entries, dead
// letters, completion events and states; lua/prelude.lua has those of entries. Other names that
// begin with "argus_" are like any: existing workers have a field "argus_status".
var ownFields = []string{
	"argus_attempt", "argus_failures", "argus_published_at", "argus_for_group", "argus_reason", "argus_packed",
	"argus_cause", "argus_source_id", "argus_group", "argus_dead_at", "argus_result",
	FieldLease, fieldParts, TruncatedField,
}

// TruncatedField stands in a message in place of fields that it can't hold.
const TruncatedField = "argus_truncated"

// partPrefix begins the names of the fields of a state that say what a part has reported.
const partPrefix = "argus_part:"

// IsOwnField is true of the name of a field that is the service's own.
func IsOwnField(name string) bool {
	return strings.HasPrefix(name, metaPrefix) && (strings.HasPrefix(name, partPrefix) || slices.Contains(ownFields, name))
}

// Limits of what one call may carry.
const (
	// MaxFields is how many fields a task or one write of state may have.
	MaxFields = 256
	// MaxValueBytes is how long one field's value may be.
	MaxValueBytes = 1 << 20
	// MaxTaskBytes is how large a task may be, names and values together. A batch of
	// deliveries is kept below it too, so that it fits gRPC's default of 4 MiB.
	MaxTaskBytes = 3 << 20
	// MaxBatch is how many tasks or tokens one call may have.
	MaxBatch = 1000
)

// CheckFields checks fields that a caller wants written: their number, names and
// values. Names in reserved, and the service's own, are not allowed.
func CheckFields[V string | []byte](field string, fields map[string]V, reserved ...string) error {
	if len(fields) > MaxFields {
		return Invalid(field, "has %d entries, at most %d are allowed", len(fields), MaxFields)
	}
	total := 0
	for name, value := range fields {
		err := CheckFieldName("", name)
		switch {
		case err != nil:
		case slices.Contains(reserved, name):
			err = Invalid("", "the name is reserved; choose another")
		default:
			err = CheckSize("", len(value))
		}
		if err != nil {
			return PrefixField(err, fmt.Sprintf("%s[%q]", field, Clip(name)))
		}
		total += len(name) + len(value)
	}
	if total > MaxTaskBytes {
		return Invalid(field, "has %d bytes in all, at most %d are allowed", total, MaxTaskBytes)
	}
	return nil
}

// Named gives the error of a check its field, whose name takes time to write.
func PrefixField(err error, field string) error {
	if e, ok := err.(*ArgumentError); ok {
		e.Field = field + e.Field
	}
	return err
}

// CheckFieldName checks the name of a field that a caller wants written: 1 to 256 bytes
// of UTF-8 without control and invisible characters, not only spaces, not one of the service's own.
func CheckFieldName(field, name string) error {
	if err := checkText(field, name); err != nil {
		return err
	}
	if IsOwnField(name) {
		return Invalid(field, "%s is a name of the service's own fields; choose another", Clip(name))
	}
	return nil
}

// CheckSize checks how long a field's value is.
func CheckSize(field string, bytes int) error {
	if bytes > MaxValueBytes {
		return Invalid(field, "has %d bytes, at most %d are allowed", bytes, MaxValueBytes)
	}
	return nil
}

// Clip shortens a name for an error's text.
func Clip(name string) string {
	const most = 40
	if len(name) <= most {
		return name
	}
	return strings.ToValidUTF8(name[:most], "") + "…"
}

// MaxDelay is how far ahead a task can be scheduled, and how long a state can be kept.
const MaxDelay = 365 * 24 * time.Hour

// CheckDelay checks how long something is to be put off.
func CheckDelay(field string, d time.Duration) error {
	if d < 0 || d > MaxDelay {
		return Invalid(field, "is %s, want 0 to %s", d, MaxDelay)
	}
	return nil
}

// CheckTTL checks how long something is to be kept; 0 means the default.
func CheckTTL(field string, d time.Duration) error {
	if d != 0 && (d < time.Millisecond || d > MaxDelay) {
		return Invalid(field, "is %s, want 1ms to %s", d, MaxDelay)
	}
	return nil
}

func OrDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}
