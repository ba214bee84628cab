// Command faults injects faults into a deployment under load and checks its guarantees: servers,
// Redis, producers, workers and watchers are separate processes, and the histories that they
// record are checked against what Redis holds. See docs/reliability.md.
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

// silent is a logger without output.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func main() {
	log.SetFlags(0)
	goredis.SetLogger(silent{}) // connection errors are expected
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		runRole(os.Args[1], os.Args[2:])
		return
	}
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of all random choices")
	long := flag.Duration("long", 0, "instead of the scenarios, inject all faults in random order for this long, into a standalone Redis, a Sentinel and a Cluster deployment concurrently")
	duration := flag.Duration("duration", 6*time.Second, "how long to repeat each fault")
	only := flag.String("only", "", "only run the scenarios, or the mutations, whose name contains this")
	short := flag.Bool("short", false, "inject each fault once under a lighter load, three scenarios at a time; takes two minutes")
	mutateServer := flag.Bool("mutations", false, "introduce defects into the server, and check that the suite finds each of them")
	binary := flag.String("argus", "", "path of the server to test (default: built from this checkout)")
	flag.Parse()
	fmt.Printf("seed %d\n", *seed)
	selected, parallel := scenarios, 1
	if *short {
		profile, *duration, parallel = brief, time.Millisecond, 3
	}
	if *long > 0 {
		profile, *duration, parallel, selected = brief, *long, 3, mixes
	}
	if *mutateServer {
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
	if !runAll(selected, argus, *only, *seed, *duration, parallel) {
		os.Exit(1)
	}
}
