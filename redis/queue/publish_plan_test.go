package queue

import (
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

func TestPublishPlan(t *testing.T) {
	t.Parallel()
	one, two := []job.Task{{}}, []job.Task{{}, {}}
	state := &job.InitialState{}
	for name, c := range map[string]struct {
		publication Publication
		config      job.QueueSettings
		mustCheck   bool
		want        publishPlan
	}{
		"one task":                 {Publication{Tasks: one}, job.QueueSettings{}, false, planAdd},
		"two tasks":                {Publication{Tasks: two}, job.QueueSettings{}, false, planAdd},
		"a state":                  {Publication{Tasks: one, State: state}, job.QueueSettings{}, false, planShared},
		"JSON":                     {Publication{Tasks: one}, job.QueueSettings{Encoding: job.EncodingJSON}, false, planAdd},
		"two states":               {Publication{Tasks: two, State: state}, job.QueueSettings{}, false, planScript},
		"parts":                    {Publication{Tasks: one, State: &job.InitialState{Parts: []string{"a"}}}, job.QueueSettings{}, false, planScript},
		"a request id":             {Publication{Tasks: one, PublishOptions: PublishOptions{RequestID: "r"}}, job.QueueSettings{}, false, planScript},
		"a state and a request id": {Publication{Tasks: one, State: state, PublishOptions: PublishOptions{RequestID: "r"}}, job.QueueSettings{}, false, planScript},
		"a delay":                  {Publication{Tasks: one, Delay: time.Second}, job.QueueSettings{}, false, planScript},
		"a time to run at":         {Publication{Tasks: one, RunAt: time.Now()}, job.QueueSettings{}, false, planScript},
		"a check of the queue":     {Publication{Tasks: one}, job.QueueSettings{}, true, planScript},
		"a fair queue":             {Publication{Tasks: one}, job.QueueSettings{FairBy: job.FairByOrganization}, false, planScript},
		"unique jobs":              {Publication{Tasks: one}, job.QueueSettings{UniqueJobs: true}, false, planScript},
		"a length limit":           {Publication{Tasks: one}, job.QueueSettings{MaxLength: 1}, false, planScript},
		"replicas to wait for":     {Publication{Tasks: one, State: state}, job.QueueSettings{WaitReplicas: 1}, false, planScript},
	} {
		if got := c.publication.plan(c.config, c.mustCheck); got != c.want {
			t.Errorf("%s: plan %d, want %d", name, got, c.want)
		}
	}
}
