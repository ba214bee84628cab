package job

import (
	"fmt"
	"slices"
	"strings"
)

// TruncatedField replaces fields in a message that cannot hold them.
const TruncatedField = "argus_truncated"

const (
	// metaPrefix begins the names of the fields and keys that are reserved for the service.
	metaPrefix = "argus_"
	// partPrefix begins the names of the fields of a state that record the reports of parts.
	partPrefix = "argus_part:"
)

// ownFields are the fields that the service keeps in entries, dead letters, completion events and states;
// lua/prelude.lua repeats those of entries. Other names that begin with "argus_" are ordinary: existing
// workers write a field "argus_status".
var ownFields = []string{
	"argus_attempt", "argus_failures", "argus_published_at", "argus_for_group", "argus_reason", "argus_packed",
	"argus_cause", "argus_source_id", "argus_group", "argus_dead_at", "argus_result",
	FieldLease, fieldParts, TruncatedField,
}

// IsOwnField reports whether the name of a field is reserved for the service.
func IsOwnField(name string) bool {
	return strings.HasPrefix(name, metaPrefix) && (strings.HasPrefix(name, partPrefix) || slices.Contains(ownFields, name))
}

// CheckFieldName checks the name of a field that a caller writes: 1 to 256 bytes of UTF-8 without control
// and invisible characters, not only spaces, and not reserved for the service.
func CheckFieldName(field, name string) error {
	if err := checkText(field, name); err != nil {
		return err
	}
	if IsOwnField(name) {
		return Invalid(field, "%s is reserved for the service; choose another", Clip(name))
	}
	return nil
}

// CheckFields checks the fields that a caller writes: their number, names and values. The names in reserved
// are rejected too.
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
