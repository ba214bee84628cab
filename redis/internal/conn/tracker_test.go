package conn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// pipedTracker returns a tracker and the server's end of its connection.
func pipedTracker() (*Tracker, net.Conn) {
	client, server := net.Pipe()
	return &Tracker{Connection: &Connection{conn: client, in: bufio.NewReaderSize(client, connectionBuffer), timeout: time.Minute}}, server
}

// replyAll replies to each command on a connection until it is closed; "" is no reply.
func replyAll(server net.Conn, reply func(words []string) string) {
	in := bufio.NewReader(server)
	for {
		raw, err := resp.Read(in)
		if err != nil {
			return
		}
		command, _ := resp.Parse(raw)
		text := reply(command.Words())
		if text == "" {
			continue
		}
		if _, err := server.Write([]byte(text)); err != nil {
			return
		}
	}
}

func get(i int) resp.Command { return resp.Command{"get", fmt.Sprint(i)} }

// Replies go to the questions in their order.
func TestTrackerAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker, server := pipedTracker()
		go replyAll(server, func(words []string) string { return bulk("value " + words[1]) })
		ended := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { ended <- tracker.Run(ctx, func([]string) {}) }()
		for range 3 {
			var got []string
			ok := tracker.AskAll(100, get, func(i int, raw string) { got = append(got, fmt.Sprint(i, " ", raw)) })
			if !ok || len(got) != 100 || got[42] != "42 "+bulk("value 42") {
				t.Fatal(ok, got)
			}
		}
		cancel()
		if err := <-ended; err == nil {
			t.Error("it ended without an error")
		}
		if tracker.AskAll(1, get, func(int, string) { t.Error("a reply of a broken tracker") }) {
			t.Error("a broken tracker was asked")
		}
	})
}

// A caller that waits for replies is released when the tracker breaks.
func TestTrackerBreaks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker, server := pipedTracker()
		asked := make(chan bool)
		go func() { asked <- tracker.AskAll(2, get, func(int, string) {}) }()
		in := bufio.NewReader(server)
		for range 2 {
			if _, err := resp.Read(in); err != nil {
				t.Error(err)
			}
		}
		go func() { _, _ = server.Write([]byte("+one\r\n")); _ = server.Close() }()
		if err := tracker.Run(t.Context(), func([]string) {}); err == nil {
			t.Error("it ended without an error")
		} else {
			tracker.Fail(err)
		}
		if <-asked {
			t.Error("a question was not answered, and that was not reported")
		}
	})
}

// Changed keys are reported in pages, and a lost table as nil: all of them.
func TestTrackerInvalidations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker, server := pipedTracker()
		const n = 2*changedPage + 1
		go func() {
			var text strings.Builder
			for i := range n {
				text.WriteString(">2\r\n" + bulk("invalidate") + "*1\r\n" + bulk(fmt.Sprint("key", i)))
			}
			text.WriteString(">2\r\n" + bulk("invalidate") + "_\r\n" + ">2\r\n" + bulk("pubsub") + bulk("other"))
			_, _ = server.Write([]byte(text.String()))
		}()
		var pages []int
		var keys []string
		all := 0
		_ = tracker.Run(t.Context(), func(page []string) {
			if page == nil {
				all++
				_ = server.Close()
				return
			}
			keys, pages = append(keys, page...), append(pages, len(page))
		})
		if all != 1 || len(keys) != n || keys[n-1] != fmt.Sprint("key", n-1) || slices.Max(pages) > changedPage {
			t.Errorf("%d keys in pages of %d, all %d times", len(keys), pages, all)
		}
	})
}

// A reply without a question, and one that can't be read, end the tracker.
func TestTrackerRefusesWhatItDidNotAskFor(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"+OK\r\n", ">2\r\n" + bulk("invalidate") + ":1\r\n", "$x\r\n"} {
		tracker, server := pipedTracker()
		go func() { _, _ = server.Write([]byte(raw)) }()
		if err := tracker.Run(t.Context(), func([]string) {}); err == nil {
			t.Errorf("%q is no error", raw)
		}
		tracker.Close()
	}
}

// A silent connection is pinged, and given up after a second silence.
func TestTrackerSilence(t *testing.T) {
	t.Parallel()
	for _, isAlive := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			tracker, server := pipedTracker()
			var pings atomic.Int32
			go replyAll(server, func([]string) string {
				if n := pings.Add(1); !isAlive && n > 2 {
					return "" // it died
				}
				return "+PONG\r\n"
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			start := time.Now()
			err := tracker.Run(ctx, func([]string) {})
			if took := time.Since(start); isAlive && (took != time.Minute || pings.Load() < 30) || !isAlive && (!errors.Is(err, ErrTrackerBroken) || took != 4*pingAfter) {
				t.Errorf("alive %t: %v after %s and %d pings", isAlive, err, took, pings.Load())
			}
			tracker.Close()
			_ = server.Close()
		})
	}
}

// A server that has no tracking is distinguished from one that is unavailable.
func TestTrackRefused(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]error{
		"-ERR unknown subcommand\r\n":            ErrUntracked,
		"-NOPERM no permissions\r\n":             ErrUntracked,
		"-LOADING Redis is loading\r\n":          job.ErrUnavailable,
		"-ERR max number of clients reached\r\n": job.ErrUnavailable,
		hangUp:                                   job.ErrUnavailable,
	} {
		c, node := standalone(t, nil)
		node.setup("%1\r\n+role\r\n+master\r\n", reply)
		_, err := c.Track(t.Context())
		wantErr(t, err, want)
		node.setup("%0\r\n", "+OK\r\n")
		tracker, err := c.Track(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tracker.Close()
	}
}

// A connection logs in and selects the database; what the server has against it is the error.
func TestConnect(t *testing.T) {
	t.Parallel()
	n := startNode(t, func(words []string) string {
		if slices.Equal(words, []string{"select", "3"}) {
			return "+OK\r\n"
		}
		return "-ERR refused\r\n"
	})
	c := &Conn{Config: Config{Addr: n.addr, DB: 3, Password: "secret"}.withDefaults()}
	connection, err := c.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	refusals, err := connection.Send(t.Context(), resp.Command{"ping"}, resp.Command{"other"})
	if err != nil || refusals[0] != nil || refusals[1] == nil {
		t.Error(refusals, err)
	}
	if err := connection.Must(t.Context(), resp.Command{"other"}); err == nil || err.Error() != "ERR refused" {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := connection.Send(ctx, resp.Command{"ping"}); err == nil {
		t.Error("it was sent though the context had ended")
	}
	if got := n.got(); !slices.Equal(got, []string{"select 3", "other", "other"}) {
		t.Errorf("%q", got)
	}
	n.setup("-WRONGPASS invalid\r\n", "")
	if _, err := c.Connect(t.Context()); err == nil || err.Error() != "WRONGPASS invalid" {
		t.Error(err)
	}
}
