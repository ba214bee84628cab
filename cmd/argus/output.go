package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
)

// print prints a message as the output setting says; rows is its table.
func (c *client) print(message proto.Message, rows ...[]string) error {
	if c.Output == "table" {
		return c.table(rows...)
	}
	text, err := toJSON(message, c.Output == "json")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.stdout, text)
	return err
}

// toJSON writes a message as grpcurl does, on several lines or on one.
func toJSON(message proto.Message, indented bool) (string, error) {
	text, err := protojson.Marshal(message)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer // protojson varies its white space on purpose
	if indented {
		err = json.Indent(&b, text, "", "  ")
	} else {
		err = json.Compact(&b, text)
	}
	return visible(b.String()), err
}

// table prints rows in columns.
func (c *client) table(rows ...[]string) error {
	_, err := io.WriteString(c.stdout, layout(rows, c.isColoured(c.stdout)))
	return err
}

// columnGap is what parts two columns.
const columnGap = "  "

// layout is rows in columns, with or without colours.
func layout(rows [][]string, isColoured bool) string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(strings.TrimPrefix(cell, statusMark)))
		}
	}
	var text strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			plain, isStatus := strings.CutPrefix(cell, statusMark)
			padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(plain)) + columnGap
			if plain = printable(plain); isStatus && isColoured {
				plain = paint(plain)
			}
			line.WriteString(plain + padding)
		}
		text.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return text.String()
}

// printable keeps a value from steering the terminal, from breaking the table, and from
// looking like another one.
func printable(text string) string {
	return visible(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text))
}

// visible writes characters that can't be seen, or change the direction of text, as JSON
// escapes them.
func visible(text string) string {
	if !strings.ContainsFunc(text, redis.IsInvisible) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if !redis.IsInvisible(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, "\\u%04x", unit)
		}
	}
	return b.String()
}

// fieldRows are a map as rows, in the order of the names.
func fieldRows(fields map[string]string) [][]string {
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		rows = append(rows, []string{name, fields[name]})
	}
	return rows
}

// joined is a map on one line.
func joined(fields map[string]string) string {
	var parts []string
	for _, row := range fieldRows(fields) {
		parts = append(parts, row[0]+"="+row[1])
	}
	return strings.Join(parts, " ")
}

func statusWord(s argusv1.JobStatus, text string) string {
	if text == "" {
		return strings.ToLower(strings.TrimPrefix(s.String(), "JOB_STATUS_"))
	}
	return text
}

func clock(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Local().Format(time.DateTime)
}

// pairs reads flags of the form name=value.
func pairs(flag string, list []string) (map[string]string, error) {
	fields := make(map[string]string, len(list))
	for _, pair := range list {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, usageError(fmt.Errorf("%s: %q is not name=value", flag, pair))
		}
		fields[name] = value
	}
	return fields, nil
}

// status reads a status as people write it: "completed".
func parseStatus(word string) (argusv1.JobStatus, error) {
	value, ok := argusv1.JobStatus_value["JOB_STATUS_"+strings.ToUpper(word)]
	if !ok || value == 0 {
		return 0, usageError(fmt.Errorf("--status: %q is not one of pending, running, completed, partial, failed, cancelled", word))
	}
	return argusv1.JobStatus(value), nil
}
