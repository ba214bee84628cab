package server

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/admin"
)

// GroupAdmin lists consumers, and creates and deletes their groups.
type GroupAdmin interface {
	Consumers(ctx context.Context, queue, group string) ([]admin.ConsumerInfo, error)
	CreateGroup(ctx context.Context, queue, group string) (created bool, err error)
	DeleteGroup(ctx context.Context, queue, group string, force bool) error
}

func (a *adminService) ListConsumers(ctx context.Context, r *argusv1.ListConsumersRequest) (*argusv1.ListConsumersResponse, error) {
	consumers, err := a.store.Consumers(ctx, r.GetQueue(), r.GetGroup())
	if err != nil {
		return nil, err
	}
	response := &argusv1.ListConsumersResponse{}
	for _, c := range consumers {
		response.Consumers = append(response.Consumers, &argusv1.Consumer{Group: valid(c.Group), Name: valid(c.Name), Pending: c.Pending, Idle: durationpb.New(c.Idle)})
	}
	return response, nil
}

func (a *adminService) CreateGroup(ctx context.Context, r *argusv1.CreateGroupRequest) (*argusv1.CreateGroupResponse, error) {
	created, err := a.store.CreateGroup(ctx, r.GetQueue(), r.GetGroup())
	if err != nil {
		return nil, err
	}
	return &argusv1.CreateGroupResponse{Created: created}, nil
}

func (a *adminService) DeleteGroup(ctx context.Context, r *argusv1.DeleteGroupRequest) (*argusv1.DeleteGroupResponse, error) {
	if err := a.store.DeleteGroup(ctx, r.GetQueue(), r.GetGroup(), r.GetForce()); err != nil {
		return nil, err
	}
	return &argusv1.DeleteGroupResponse{}, nil
}
