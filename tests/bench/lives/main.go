// Command lives measures the whole life of tasks, from publish to result, in Argus and in other
// systems, in one run on one machine. See docs/performance.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

var (
	rounds   = flag.Int("rounds", 5, "number of rounds; in each, all contenders run in turn")
	duration = flag.Duration("duration", 2*time.Second, "approximate length of a contender's run in each round")
	only     = flag.String("only", "", "only run the contenders whose name contains this")
	profile  = flag.String("profile", "", "write CPU profiles of the Argus server to this directory, one per contender")
	commands = flag.Bool("commands", false, "print Redis's command statistics")
	idle     = flag.Int("idle", 300, "number of tasks to publish to an idle queue, one at a time")
)

// bench is the servers that the contenders use.
type bench struct {
	*rig.Rig
	nats *natsServer
}

func main() {
	log.SetFlags(0)
	if len(os.Args) == 3 && os.Args[1] == natsRole {
		serveNATS(os.Args[2])
		return
	}
	flag.Parse()
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	r, err := rig.Start(ctx, rig.Options{Config: "http_pprof: true\n"})
	if err != nil {
		return err
	}
	defer r.Close()
	b := &bench{Rig: r}
	if b.nats, err = startNATS(); err != nil {
		return err
	}
	defer b.nats.stop()
	all := slices.Concat(b.raw(), b.argus(), b.others())
	all = slices.DeleteFunc(all, func(c *contender) bool { return !strings.Contains(c.name, *only) })
	for round := range *rounds {
		for _, c := range all {
			if err := b.round(ctx, c, round); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	report(all)
	return nil
}
