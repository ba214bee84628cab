package history

import (
	"fmt"
	"strings"
	"testing"
)

func TestReadSkipsALineTruncatedByAKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, client := range []string{"w1", "w2"} {
		log, err := Open(dir, client)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			log.Add(Event{Kind: Deliver, Client: client, Job: fmt.Sprint(client, i)})
		}
		if client == "w2" {
			_, _ = log.file.WriteString(`{"kind":"deliv`)
		}
	}
	events, err := Read(dir, "*")
	if err != nil || len(events) != 6 {
		t.Fatal(events, err)
	}
	for i := 1; i < len(events); i++ {
		if events[i].At.Before(events[i-1].At) || !strings.HasPrefix(events[i].Job, events[i].Client) {
			t.Error(events[i])
		}
	}
}
