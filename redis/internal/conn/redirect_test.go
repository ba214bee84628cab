package conn

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Commands that another node has the keys of are repeated there, once and in their order; the
// others are not.
func TestRedirectedCommands(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"MOVED", "ASK"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c, cluster := clustered(t, nil, func(words []string) string {
				switch words[0] {
				case "asking":
					return "+OK\r\n"
				case "xreadgroup":
					return "*-1\r\n"
				case "xadd":
					return bulk("1-0")
				}
				return ":7\r\n"
			})
			cluster.answer(0, func(words []string) string {
				if words[0] == "time" {
					return "*2\r\n$1\r\n5\r\n$1\r\n0\r\n"
				}
				return cluster.to(kind, 1)
			})
			ctx := t.Context()
			add := Raw(ctx, resp.Command{"xadd", "{p}:tasks", "*", "field", "two words"})
			read := Raw(ctx, resp.Command{"xreadgroup", "group", "g", "c", "streams", "{p}:tasks", ">"})
			exists, now := goredis.NewIntCmd(ctx, "exists", "{p}:paused"), goredis.NewTimeCmd(ctx, "time")
			u := &Unit{Commands: []goredis.Cmder{add}, After: []goredis.Cmder{read, exists, now}, Done: make(chan struct{})}
			if err := c.Batcher.Send(ctx, u); err != nil {
				t.Fatal(err)
			}
			if r, err := RawReply(add); err != nil || r.Word() != "1-0" {
				t.Error(r, err)
			}
			if r, err := RawReply(read); err != nil || r.List() != -1 {
				t.Error(r, err)
			}
			if exists.Err() != nil || exists.Val() != 7 || now.Err() != nil || now.Val().Unix() != 5 {
				t.Error(exists, now)
			}
			got := slices.DeleteFunc(cluster.nodes[1].got(), func(s string) bool { return s == "asking" })
			want := []string{"xadd {p}:tasks * field two words", "xreadgroup group g c streams {p}:tasks >", "exists {p}:paused"}
			if !slices.Equal(got, want) {
				t.Errorf("the other node got %q", got)
			}
		})
	}
}

// While the keys of a call are on two nodes, or the Cluster is down, it is repeated once and then
// reported; nothing was executed.
func TestRedirectedNowhere(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"-TRYAGAIN keys are moving\r\n", "-CLUSTERDOWN no quorum\r\n"} {
		c, cluster := clustered(t, always(reply), always("+OK\r\n"))
		_, err := c.Batcher.Call(t.Context(), item("{p}:h", "k"), Once)
		wantErr(t, err, job.ErrUnavailable)
		_, err = PublishScript.Send(t.Context(), c, Once, []string{"{p}:k"}, nil)
		wantErr(t, err, job.ErrUnavailable)
		if got := cluster.nodes[0].got(); len(got) != 4 || len(cluster.nodes[1].got()) != 0 {
			t.Errorf("%q", got)
		}
	}
}

// Each part of a shared script call that is redirected is executed once at the other node, though
// that does not know the script.
func TestRedirectedScriptCalls(t *testing.T) {
	t.Parallel()
	c, cluster := clustered(t, nil, func(words []string) string {
		if words[0] == "evalsha" {
			return "-NOSCRIPT no matching script\r\n"
		}
		return echoItems(words)
	})
	cluster.answer(0, func([]string) string { return cluster.to("MOVED", 1) })
	const n = 20
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() {
			reply, err := c.Batcher.Call(t.Context(), item("{p}:h", fmt.Sprint(i)), Once)
			if err != nil || len(reply) != 1 || reply[0].Word != fmt.Sprint("item ", i) {
				t.Error(reply, err)
			}
		})
	}
	calls.Wait()
	executed := slices.DeleteFunc(cluster.nodes[1].got(), func(s string) bool { return strings.HasPrefix(s, "evalsha") })
	if items := strings.Count(strings.Join(executed, "\n"), "item "); items != n {
		t.Errorf("%d items were executed, want %d", items, n)
	}
}

// A transaction that was aborted because its keys are elsewhere is reported, not repeated; any
// other failure is none of that.
func TestRedirectedTransaction(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		queued, exec string
		want         error
	}{
		"queued":       {"-MOVED 1 127.0.0.1:1\r\n", "-EXECABORT discarded\r\n", ErrNotExecuted},
		"exec":         {"+QUEUED\r\n", "-MOVED 1 127.0.0.1:1\r\n", ErrNotExecuted},
		"keys apart":   {"+QUEUED\r\n", "-TRYAGAIN\r\n", ErrNotExecuted},
		"refused":      {"-OOM command not allowed\r\n", "-EXECABORT discarded\r\n", nil},
		"executed":     {"+QUEUED\r\n", "*1\r\n$3\r\n1-0\r\n", nil},
		"reply lost":   {"+QUEUED\r\n", hangUp, nil},
		"queued, lost": {"-MOVED 1 127.0.0.1:1\r\n", hangUp, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, cluster := clustered(t, func(words []string) string {
				switch words[0] {
				case "multi":
					return "+OK\r\n"
				case "exec":
					return c.exec
				}
				return c.queued
			}, always("+OK\r\n"))
			ctx := t.Context()
			err := conn.Batcher.Do(ctx, goredis.NewStatusCmd(ctx, "multi"), Raw(ctx, resp.Command{"xadd", "{p}:tasks"}), Raw(ctx, resp.Command{"exec"}))
			wantErr(t, err, c.want)
			if got := cluster.nodes[0].got(); len(got) != 3 || len(cluster.nodes[1].got()) != 0 {
				t.Errorf("%q, %q", got, cluster.nodes[1].got())
			}
		})
	}
	wantErr(t, Translate("publish", ErrNotExecuted, Once), job.ErrUnavailable)
}

// What was in flight when the connection to a node breaks is not repeated anywhere.
func TestClusterConnectionLost(t *testing.T) {
	t.Parallel()
	c, cluster := clustered(t, always(hangUp), always("+OK\r\n"))
	_, err := c.Batcher.Call(t.Context(), item("{p}:h", "k"), Once)
	wantErr(t, err, job.ErrOutcomeUnknown)
	_, err = c.Do(t.Context(), "incr", "{p}:k")
	if err == nil {
		t.Error("a lost reply is no error")
	}
	if got := cluster.nodes[0].got(); len(got) != 2 || len(cluster.nodes[1].got()) != 0 {
		t.Errorf("%q, %q", got, cluster.nodes[1].got())
	}
}

// A redirection has the driver look for the master again; later units go there at once, and all
// prefixes share the pipelines to it.
func TestBatcherFollowsTheMaster(t *testing.T) {
	t.Parallel()
	c, cluster := clustered(t, nil, always(":1\r\n"))
	cluster.answer(0, func([]string) string { return cluster.to("MOVED", 1) })
	cluster.owner.Store(1)
	shards := []*Conn{c, c.Shard(0), c.Shard(1)}
	for {
		for _, s := range shards {
			if _, err := s.Do(t.Context(), "incr", s.Keys.Prefix+"k"); err != nil {
				t.Fatal(err)
			}
		}
		first, err := shards[0].Batcher.node(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range shards[1:] {
			if n, err := s.Batcher.node(t.Context()); err == nil && n != first && n.client == first.client {
				t.Error("two batchers of one node")
			}
		}
		if first.client.Options().Addr == cluster.nodes[1].addr {
			break
		}
	}
	sent := len(cluster.nodes[0].got())
	if _, err := c.Do(t.Context(), "incr", "{p}:k"); err != nil || len(cluster.nodes[0].got()) != sent {
		t.Error("the old node still gets commands:", err)
	}
}

// A node's batcher is made again when the driver has a new client for it, and closed when the node
// has been idle.
func TestNodeBatchers(t *testing.T) {
	t.Parallel()
	open := func(addr string) *goredis.Client {
		client := goredis.NewClient(&goredis.Options{Addr: addr})
		t.Cleanup(func() { _ = client.Close() })
		return client
	}
	l := &nodeBatchers{byAddr: make(map[string]*nodeBatcher)}
	of := func(c *goredis.Client) *nodeBatcher {
		n, err := l.of(c)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	a, again, b := open("a:1"), open("a:1"), open("b:1")
	first := of(a)
	if of(a) != first {
		t.Error("a second batcher of one client")
	}
	second := of(again)
	<-first.end
	if second == first {
		t.Error("the batcher of a client that was replaced")
	}
	second.lastUsed.Add(-2 * 60)
	of(b)
	<-second.end
	if len(l.byAddr) != 1 {
		t.Error(l.byAddr)
	}
	l.close()
	if _, err := l.of(b); err != goredis.ErrClosed {
		t.Error(err)
	}
}
