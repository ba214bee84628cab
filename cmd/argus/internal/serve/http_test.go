package serve

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// Clients that send no request, half of one or too much of one are cut off; others are
// served meanwhile.
func TestHTTPCutsOffBadClients(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := httpServer(http.NotFoundHandler())
	s.ReadTimeout /= 50 // without a limit it has none still
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	defer func() { _ = s.Close(); <-done }()
	dial := func(request string) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	const head = "GET / HTTP/1.1\r\nHost: x\r\n"
	bad := map[string]net.Conn{
		"silent":        dial(""),
		"half a header": dial(head + "X-Slow: "),
		"half a body":   dial(head + "Content-Length: 100\r\n\r\nx"),
		"huge headers":  dial(head + "X-Huge: " + strings.Repeat("x", 21<<10)), // Go allows 4 KiB more
	}
	r, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal("a well-behaved client was not served:", err)
	}
	_ = r.Body.Close()
	for name, conn := range bad {
		text, err := io.ReadAll(conn)
		if err != nil && !strings.Contains(err.Error(), "connection reset") {
			t.Errorf("%s: %v", name, err)
		}
		if name == "huge headers" && !strings.HasPrefix(string(text), "HTTP/1.1 431") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// HTTP for other machines causes a warning; profiles for other machines are refused.
func TestHTTPBeyondThisMachine(t *testing.T) {
	t.Parallel()
	var logs bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logs, nil))
	serve := func(addr string, profiles bool) error {
		c := newConfig(pflag.NewFlagSet("argus", pflag.ContinueOnError))
		c.HTTPAddr, c.HTTPPprof = addr, profiles
		stop, err := c.serveHTTP(nil, log)
		if err == nil {
			stop()
		}
		return err
	}
	if err := serve("0.0.0.0:0", true); err == nil || !strings.Contains(err.Error(), "--http-pprof: profiles show what is in memory") {
		t.Error("profiles for other machines:", err)
	}
	if err := serve("localhost:0", true); err != nil || logs.Len() > 0 {
		t.Error("profiles on loopback:", err, &logs)
	}
	if err := serve("0.0.0.0:0", false); err != nil || !strings.Contains(logs.String(), "HTTP beyond this machine without authentication") {
		t.Error("metrics for other machines:", err, &logs)
	}
}
