package job

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxNameBytes is the maximum length of ids and of names of queues, groups, consumers and fields.
	MaxNameBytes = 256
	// MaxParts is the maximum number of parts of a job.
	MaxParts = 64
)

// The consumers to which release.lua assigns a released delivery. ReleasedConsumer is not a valid name, so
// no worker can have it. FormerReleasedConsumer, which earlier versions use, is, so CheckConsumer rejects it.
const (
	ReleasedConsumer       = "{argus-released}"
	FormerReleasedConsumer = "argus-released"
)

// checkText is the check that every name passes: a name becomes part of a key or a command, and people
// read it.
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

// isInvisible reports whether a character can make one name look like another: formatting, such as the
// direction of text and joiners without width, line separators, and letters without a glyph. Control
// characters are not among them; checkText rejects those separately.
func isInvisible(r rune) bool {
	switch r {
	case '\u034f', '\u115f', '\u1160', '\u17b4', '\u17b5', '\u3164', '\uffa0':
		return true
	}
	return r > unicode.MaxASCII && unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// CheckID checks an id or a name that becomes part of a key: 1 to 256 bytes of UTF-8 without control and
// invisible characters, and not only spaces. Braces are rejected because they would move the key to another
// Cluster slot, glob characters and backslashes because keys occur in patterns. The error is an
// *ArgumentError for field.
func CheckID(field, id string) error {
	if err := checkText(field, id); err != nil {
		return err
	}
	if i := strings.IndexAny(id, `{}*?[]\`); i >= 0 {
		return Invalid(field, "must not contain %q; braces, glob characters and backslashes are reserved", id[i])
	}
	return nil
}

// CheckQueue checks the name of a queue: an id in which no part between colons is the name of one of the
// service's key families. Such a queue would have the key of another family, or of a tenant whose prefix
// begins with this one.
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

// CheckConsumer checks the name of a consumer: an id that is not reserved for the service.
func CheckConsumer(field, consumer string) error {
	if consumer == FormerReleasedConsumer {
		return Invalid(field, "%q is reserved for the service; choose another", consumer)
	}
	return CheckID(field, consumer)
}

// checkPart checks the name of a part of a job: an id without spaces and "=". A state lists its parts
// separated by spaces.
func checkPart(field, part string) error {
	if err := CheckID(field, part); err != nil {
		return err
	}
	if i := strings.IndexFunc(part, func(r rune) bool { return r == '=' || unicode.IsSpace(r) }); i >= 0 {
		return Invalid(field, "must not contain spaces or '='")
	}
	return nil
}

// CheckParts checks the names of a job's parts and rejects duplicates.
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
			return Invalid(at, "is a duplicate")
		}
	}
	return nil
}

// Clip shortens a name for the text of an error.
func Clip(name string) string {
	const most = 40
	if len(name) <= most {
		return name
	}
	return strings.ToValidUTF8(name[:most], "") + "…"
}
