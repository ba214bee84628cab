package conn

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// gate is a hook of the driver's that holds pipelines and records their commands.
type gate struct {
	entered chan []string
	open    chan struct{}
}

func newGate(c *Conn) *gate {
	g := &gate{make(chan []string, 1000), make(chan struct{})}
	c.Commands.AddHook(g)
	return g
}

func (*gate) DialHook(next goredis.DialHook) goredis.DialHook          { return next }
func (*gate) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }

func (g *gate) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, commands []goredis.Cmder) error {
		var texts []string
		for _, command := range commands {
			text := make([]string, len(command.Args()))
			for i, arg := range command.Args() {
				if s, ok := arg.(*string); ok {
					arg = *s
				}
				text[i] = fmt.Sprint(arg)
			}
			texts = append(texts, strings.Join(text, " "))
		}
		g.entered <- texts
		<-g.open
		return next(ctx, commands)
	}
}

// fill occupies all pipelines of a node, and waits until it has.
func (g *gate) fill(t *testing.T, c *Conn, calls *sync.WaitGroup) {
	t.Helper()
	for range pipelines {
		calls.Go(func() {
			if err := c.Batcher.Do(t.Context(), goredis.NewStatusCmd(t.Context(), "fill")); err != nil {
				t.Error(err)
			}
		})
		g.next(t)
	}
}

// next waits for the next pipeline.
func (g *gate) next(t *testing.T) []string {
	t.Helper()
	select {
	case texts := <-g.entered:
		return texts
	case <-time.After(time.Minute):
		t.Fatal("no pipeline was sent")
		return nil
	}
}

// rest are the pipelines since next.
func (g *gate) rest() (list [][]string) {
	for len(g.entered) > 0 {
		list = append(list, <-g.entered)
	}
	return list
}

// queued waits until n units are queued at a node whose pipelines are filled; two more are with
// the workers that wait for a pipeline.
func queued(t *testing.T, node *nodeBatcher, n int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); len(node.queue) < n-(pipelines-1); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d units are queued, want %d", len(node.queue), n)
		}
	}
}
