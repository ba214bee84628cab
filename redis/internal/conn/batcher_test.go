package conn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// echoItems replies to a script call of the head key "h" with each item's argument.
func echoItems(words []string) string {
	if !strings.HasPrefix(words[0], "eval") {
		return "+OK\r\n"
	}
	var keys int
	_, _ = fmt.Sscan(words[2], &keys)
	items := words[3+keys:]
	reply := fmt.Sprintf("*%d\r\n", len(items))
	for _, item := range items {
		reply += bulk(item)
	}
	return reply
}

func item(head, key string) *BatchedCall {
	return &BatchedCall{Script: PublishEachScript, HeadKeys: resp.Command{head}, Keys: resp.Command{"{p}:" + key}, Args: resp.Command{"item " + key}, PerItem: 1}
}

// What is called while all pipelines are in flight goes out with the next ones.
func TestBatcherSharesRoundTrips(t *testing.T) {
	t.Parallel()
	c, node := standalone(t, always(":1\r\n"))
	g := newGate(c)
	var calls sync.WaitGroup
	g.fill(t, c, &calls)
	const n = 50
	for i := range n {
		calls.Go(func() {
			cmd := goredis.NewIntCmd(t.Context(), "incr", fmt.Sprint(i))
			if err := c.Batcher.Do(t.Context(), cmd); err != nil || cmd.Val() != 1 {
				t.Error(err, cmd.Val())
			}
		})
	}
	queued(t, c.Batcher.single, n)
	close(g.open)
	calls.Wait()
	if sent := g.rest(); len(sent) > pipelines {
		t.Errorf("%d pipelines for %d commands", len(sent), n)
	}
	if got := node.got(); len(got) != pipelines+n {
		t.Errorf("the server got %d commands, want %d", len(got), pipelines+n)
	}
}

// A unit's commands stay in their order, and its later ones follow all others of the pipeline.
func TestBatcherOrder(t *testing.T) {
	t.Parallel()
	c, _ := standalone(t, echoItems)
	g := newGate(c)
	var calls sync.WaitGroup
	g.fill(t, c, &calls)
	const n = 12
	for i := range n {
		calls.Go(func() {
			cmd := func(name string) goredis.Cmder { return goredis.NewStatusCmd(t.Context(), name, i) }
			u := &Unit{Commands: []goredis.Cmder{cmd("first"), cmd("second")}, After: []goredis.Cmder{cmd("last")}, Done: make(chan struct{})}
			if err := c.Batcher.Send(t.Context(), u); err != nil {
				t.Error(err)
			}
		})
	}
	queued(t, c.Batcher.single, n)
	close(g.open)
	calls.Wait()
	for _, texts := range g.rest() {
		units := len(texts) / 3
		for i := range units {
			_, number, _ := strings.Cut(texts[2*i], " ")
			if texts[2*i] != "first "+number || texts[2*i+1] != "second "+number || texts[2*units+i] != "last "+number {
				t.Errorf("unit %d of %q", i, texts)
			}
		}
	}
}

// Concurrent calls of one script with the same head are one call; each caller gets its part.
func TestBatcherSharesScriptCalls(t *testing.T) {
	t.Parallel()
	c, node := standalone(t, echoItems)
	g := newGate(c)
	var calls sync.WaitGroup
	g.fill(t, c, &calls)
	const n = 2 * sharedItems
	for i := range n {
		head, key := "h0", fmt.Sprint(i)
		if i%8 == 0 {
			head = "h1"
		}
		calls.Go(func() {
			reply, err := c.Batcher.Call(t.Context(), item(head, key), Once)
			if err != nil || len(reply) != 1 || reply[0].Word != "item "+key {
				t.Error(reply, err)
			}
		})
	}
	queued(t, c.Batcher.single, n)
	close(g.open)
	calls.Wait()
	got := node.got()[pipelines:]
	if len(got) > 3*pipelines {
		t.Errorf("%d script calls for %d items", len(got), n)
	}
	for _, call := range got {
		if strings.Contains(call, " h0 ") && strings.Contains(call, " h1 ") || strings.Count(call, "item") > sharedItems {
			t.Errorf("a call of %d items: %s", strings.Count(call, "item"), call)
		}
	}
}

// A call that a server does not know the script of is repeated once, with its source.
func TestBatcherNoScript(t *testing.T) {
	t.Parallel()
	c, node := standalone(t, func(words []string) string {
		if words[0] == "evalsha" {
			return "-NOSCRIPT no matching script\r\n"
		}
		return echoItems(words)
	})
	reply, err := c.Batcher.Call(t.Context(), item("h", "k"), Once)
	if err != nil || reply[0].Word != "item k" {
		t.Fatal(reply, err)
	}
	if got := node.got(); len(got) != 2 || !strings.HasPrefix(got[1], "eval "+PublishEachScript.Source) {
		t.Errorf("%q", got)
	}
}

// A reply of a wrong length is an error of every caller, not a panic.
func TestBatcherMalformedReply(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*0\r\n", "$1\r\na\r\n", "*-1\r\n"} {
		c, _ := standalone(t, always(reply))
		if got, err := c.Batcher.Call(t.Context(), item("h", "k"), Once); err == nil {
			t.Errorf("%q is %v", reply, got)
		}
	}
}

// A caller whose context ends does not wait; its commands are sent nevertheless, once.
func TestBatcherContextEnds(t *testing.T) {
	t.Parallel()
	c, node := standalone(t, always("+OK\r\n"))
	g := newGate(c)
	var calls sync.WaitGroup
	g.fill(t, c, &calls)
	ctx, cancel := context.WithCancel(t.Context())
	abandoned := make(chan error)
	for range pipelines {
		go func() { abandoned <- c.Batcher.Do(ctx, goredis.NewStatusCmd(ctx, "abandoned")) }()
	}
	queued(t, c.Batcher.single, pipelines)
	cancel()
	for range pipelines {
		wantErr(t, <-abandoned, context.Canceled)
	}
	close(g.open)
	calls.Wait()
	_ = c.Close() // waits for the workers
	if got := node.got(); len(got) > 2*pipelines {
		t.Errorf("%q", got)
	}
}

// Units that were not sent when the batcher is closed fail, and so do later ones.
func TestBatcherClose(t *testing.T) {
	t.Parallel()
	c, node := standalone(t, always("+OK\r\n"))
	g := newGate(c)
	var calls sync.WaitGroup
	g.fill(t, c, &calls)
	const n = 10
	errs := make(chan error, n)
	for range n {
		calls.Go(func() {
			cmd := goredis.NewStatusCmd(t.Context(), "queued")
			errs <- errors.Join(c.Batcher.Do(t.Context(), cmd), cmd.Err())
		})
	}
	queued(t, c.Batcher.single, n)
	closed := make(chan struct{})
	go func() { c.Batcher.close(); close(closed) }()
	for range n - (pipelines - 1) {
		wantErr(t, <-errs, goredis.ErrClosed)
	}
	close(g.open)
	<-closed
	calls.Wait()
	if sent := slices.DeleteFunc(node.got(), func(s string) bool { return s == "fill" }); len(sent) > pipelines-1 {
		t.Errorf("%q were sent", sent)
	}
	_ = c.Close()
	_, err := c.Batcher.Call(t.Context(), item("h", "k"), Once)
	wantErr(t, err, job.ErrUnavailable)
}

// A connection that breaks leaves the outcome unknown: nothing is repeated.
func TestBatcherConnectionLost(t *testing.T) {
	t.Parallel()
	c, node := standalone(t, always(hangUp))
	_, err := c.Batcher.Call(t.Context(), item("h", "k"), Once)
	wantErr(t, err, job.ErrOutcomeUnknown)
	_, err = c.Batcher.Call(t.Context(), item("h", "k"), Repeatable)
	wantErr(t, err, job.ErrUnavailable)
	_, err = PublishScript.Send(t.Context(), c, Once, nil, nil)
	wantErr(t, err, job.ErrOutcomeUnknown)
	if got := node.got(); len(got) != 3 {
		t.Errorf("%q", got)
	}
}
