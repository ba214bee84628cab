// Command faults breaks things under load and checks that what is promised holds: real
// servers, real Redis processes, producers, workers and watchers in processes of their own,
// whose recorded histories are checked against what the store holds. See docs/reliability.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

var ctx = context.Background()

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func main() {
	log.SetFlags(0)
	goredis.SetLogger(silent{}) // servers are killed on purpose
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		runRole(os.Args[1], os.Args[2:])
		return
	}
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of what is random")
	long := flag.Duration("long", 0, "inject all faults in a random order for so long instead, into a Redis, a Sentinel and a Cluster at once")
	duration := flag.Duration("duration", 6*time.Second, "how long each fault is injected, again and again")
	only := flag.String("only", "", "run the scenarios, or the mutations, with this in their name")
	short := flag.Bool("short", false, "inject each fault once under a lighter load, three at a time: two minutes in all")
	mutated := flag.Bool("mutations", false, "break the product in ways that the suite must find, and see whether it does")
	binary := flag.String("argus", "", "the server to test; default: built from this checkout")
	flag.Parse()
	fmt.Printf("seed %d\n", *seed)
	todo, atOnce := scenarios, 1
	if *short {
		form, *duration, atOnce = brief, time.Millisecond, 3
	}
	if *long > 0 {
		form, *duration, atOnce, todo = brief, *long, 3, mixes
	}
	if *mutated {
		os.Exit(min(1, mutate(*seed, *duration, *only)))
	}
	argus := *binary
	if argus == "" {
		dir, err := os.MkdirTemp("", "argus-faults-")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(dir)
		argus = filepath.Join(dir, "argus")
		if err := buildArgus(argus); err != nil {
			log.Fatal(err)
		}
	}
	if !runAll(todo, argus, *only, *seed, *duration, atOnce) {
		os.Exit(1)
	}
}
