// Package output prints the results of client commands: as tables for people, as JSON for programs.
package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// The formats of the output.
const (
	Table = "table"
	JSON  = "json"  // as grpcurl prints
	JSONL = "jsonl" // one line for each message
)

// Formats lists the formats.
var Formats = []string{Table, JSON, JSONL}

// Printer prints in one of the formats.
type Printer struct {
	To        io.Writer
	Format    string
	HasColour bool
}

// IsTable reports whether the output is for people.
func (p Printer) IsTable() bool { return p.Format == Table }

// Print prints a message; rows is its table.
func (p Printer) Print(message proto.Message, rows ...[]string) error {
	if p.IsTable() {
		return p.Table(rows...)
	}
	text, err := Marshal(message, p.Format == JSON)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.To, text)
	return err
}

// Table prints rows in columns.
func (p Printer) Table(rows ...[]string) error {
	_, err := io.WriteString(p.To, layout(rows, p.HasColour))
	return err
}

// Section prints a table below another one, if it has more than its head.
func (p Printer) Section(rows [][]string) error {
	if len(rows) < 2 {
		return nil
	}
	if _, err := fmt.Fprintln(p.To); err != nil {
		return err
	}
	return p.Table(rows...)
}

// List prints messages as they arrive or, as a table, all of them at its end.
type List struct {
	Printer
	rows [][]string
}

// NewList starts a list; head has the titles of its columns.
func (p Printer) NewList(head ...string) *List { return &List{Printer: p, rows: [][]string{head}} }

// Add adds a message and its row.
func (l *List) Add(message proto.Message, row ...string) error {
	if l.IsTable() {
		l.rows = append(l.rows, row)
		return nil
	}
	return l.Print(message)
}

// End prints the table, if the list is one.
func (l *List) End() error {
	if !l.IsTable() {
		return nil
	}
	return l.Table(l.rows...)
}

// Marshal writes a message as grpcurl does, on several lines or on one.
func Marshal(message proto.Message, indented bool) (string, error) {
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

// columnGap separates two columns.
const columnGap = "  "

// layout arranges rows in columns, with or without colours.
func layout(rows [][]string, hasColour bool) string {
	widths := columnWidths(rows)
	var text strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			plain, isStatus := strings.CutPrefix(cell, statusMark)
			padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(plain)) + columnGap
			if plain = Printable(plain); isStatus && hasColour {
				plain = paint(plain)
			}
			line.WriteString(plain + padding)
		}
		text.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return text.String()
}

func columnWidths(rows [][]string) []int {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(strings.TrimPrefix(cell, statusMark)))
		}
	}
	return widths
}
