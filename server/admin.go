package server

import (
	"fmt"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// AdminStore is what the service Admin needs from the store.
type AdminStore interface {
	QueueAdmin
	GroupAdmin
	TaskAdmin
	DeadLetterAdmin
}

// admin is the service Admin. Its methods are in admin_queues.go, admin_groups.go,
// admin_tasks.go and admin_dead_letters.go.
type adminService struct {
	argusv1.UnsafeAdminServer

	store AdminStore
}

// Sizes of a page.
const (
	defaultPage = 100
	maxPage     = 1000
)

func pageSize(asked int32) (int, error) {
	switch {
	case asked == 0:
		return defaultPage, nil
	case asked < 0 || asked > maxPage:
		return 0, &job.ArgumentError{Field: "page_size", Problem: fmt.Sprintf("is %d, want 1 to %d", asked, maxPage)}
	}
	return int(asked), nil
}
