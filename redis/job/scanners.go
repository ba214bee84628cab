package job

import (
	"encoding/json"
	"strings"
)

// encodeScanners returns the list as a JSON array. Plain names, the usual ones, need no JSON encoder.
func encodeScanners(list []string) string {
	size := 2
	for _, s := range list {
		if !isPlain(s) {
			return string(EncodeJSON(list))
		}
		size += len(s) + 3
	}
	b := append(make([]byte, 0, size), '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), s...), '"')
	}
	return string(append(b, ']'))
}

// parseScanners parses a JSON array of strings or a comma list, as raw publishers write it.
func parseScanners(value string) ([]string, bool) {
	value = strings.TrimSpace(value)
	if value == "" {
		return nil, true
	}
	if scanners, ok := parsePlainScanners(value); ok {
		return scanners, true
	}
	switch {
	case strings.HasPrefix(value, "["):
		return parseScannersJSON(value)
	case strings.HasPrefix(value, "{"), strings.Count(value, ",") >= maxAttributes:
		return nil, false
	}
	var scanners []string
	for s := range strings.SplitSeq(value, ",") {
		if s = strings.TrimSpace(s); s != "" {
			scanners = append(scanners, s)
		}
	}
	return scanners, true
}

// parsePlainScanners parses a non-empty array of plain names without a JSON decoder.
func parsePlainScanners(value string) ([]string, bool) {
	inner, ok1 := strings.CutPrefix(value, `["`)
	inner, ok2 := strings.CutSuffix(inner, `"]`)
	if !ok1 || !ok2 {
		return nil, false
	}
	scanners := strings.Split(inner, `","`)
	for _, s := range scanners {
		if !isPlain(s) {
			return nil, false
		}
	}
	return scanners, true
}

// parseScannersJSON parses an array of strings; null is not a string.
func parseScannersJSON(value string) ([]string, bool) {
	var list []*string
	if json.Unmarshal([]byte(value), &list) != nil {
		return nil, false
	}
	scanners := make([]string, 0, len(list))
	for _, s := range list {
		if s == nil {
			return nil, false
		}
		scanners = append(scanners, *s)
	}
	return scanners, true
}
