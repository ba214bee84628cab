package conn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

func TestMain(m *testing.M) {
	goredis.SetLogger(discard{}) // a fake node describes no commands
	os.Exit(m.Run())
}

type discard struct{}

func (discard) Printf(context.Context, string, ...any) {}

// fakeNode is a server that speaks RESP and replies by a function.
type fakeNode struct {
	addr     string
	mu       sync.Mutex
	commands []string
	reply    func(words []string) string
	// helloReply and clientReply are those to HELLO 3 and CLIENT.
	helloReply, clientReply string
}

// hangUp is a reply that closes the connection.
const hangUp = ""

// startNode starts a node that replies by a function to all but the commands that a driver sends
// by itself; those it records as text.
func startNode(t *testing.T, reply func(words []string) string) *fakeNode {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &fakeNode{addr: listener.Addr().String(), reply: reply, helloReply: "%0\r\n", clientReply: "+OK\r\n"}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go n.serve(conn)
		}
	}()
	return n
}

func (n *fakeNode) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for {
		raw, err := resp.Read(in)
		if err != nil {
			return
		}
		command, _ := resp.Parse(raw)
		reply := n.replyTo(command.Words())
		if reply == hangUp {
			return
		}
		if _, err := conn.Write([]byte(reply)); err != nil {
			return
		}
	}
}

func (n *fakeNode) replyTo(words []string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch name := strings.ToLower(words[0]); {
	case name == "hello" && words[1] == "3":
		return n.helloReply
	case name == "hello":
		return "-ERR unknown command\r\n"
	case name == "client":
		return n.clientReply
	case name == "command":
		return "*0\r\n"
	case name == "ping":
		return "+PONG\r\n"
	case name != "cluster":
		n.commands = append(n.commands, strings.Join(words, " "))
	}
	return n.reply(words)
}

// got are the commands so far.
func (n *fakeNode) got() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.commands)
}

// answer makes the node reply by another function from now on.
func (n *fakeNode) answer(reply func(words []string) string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reply = reply
}

// setup sets the replies to HELLO 3 and to CLIENT.
func (n *fakeNode) setup(hello, client string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.helloReply, n.clientReply = hello, client
}

// always replies the same to every command.
func always(reply string) func([]string) string { return func([]string) string { return reply } }

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

func openFake(t *testing.T, config Config) *Conn {
	t.Helper()
	c, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// standalone opens a Conn to a node.
func standalone(t *testing.T, reply func(words []string) string) (*Conn, *fakeNode) {
	t.Helper()
	n := startNode(t, reply)
	return openFake(t, Config{Addr: n.addr, Prefix: "p:"}), n
}

// fakeCluster is two nodes of which one has all slots.
type fakeCluster struct {
	nodes [2]*fakeNode
	owner atomic.Int32
}

// clustered opens a Conn to a Cluster whose first node has all slots.
func clustered(t *testing.T, first, second func(words []string) string) (*Conn, *fakeCluster) {
	t.Helper()
	c := &fakeCluster{}
	for i, reply := range []func([]string) string{first, second} {
		c.nodes[i] = startNode(t, nil)
		c.answer(i, reply)
	}
	return openFake(t, Config{Addr: c.nodes[0].addr, Prefix: "{p}:", Cluster: true}), c
}

// answer makes a node reply by another function, but to CLUSTER SLOTS.
func (c *fakeCluster) answer(i int, reply func(words []string) string) {
	c.nodes[i].answer(func(words []string) string {
		if strings.EqualFold(words[0], "cluster") {
			host, port, _ := net.SplitHostPort(c.nodes[c.owner.Load()].addr)
			return "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n" + bulk(host) + ":" + port + "\r\n" + bulk("id") + ""
		}
		return reply(words)
	})
}

// to is a redirection to a node.
func (c *fakeCluster) to(kind string, i int) string {
	return fmt.Sprintf("-%s 1 %s\r\n", kind, c.nodes[i].addr)
}

// wantErr fails the test unless err is want.
func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}
