package redis

import (
	"context"
	"errors"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// StreamConsumerConfig says what a StreamConsumer reads.
type StreamConsumerConfig struct {
	// Stream is the stream's name without the client's prefix; default
	// "argus_task_queue".
	Stream string
	// ConsumerGroup is the group; default "argus-workers".
	ConsumerGroup string
	// ConsumerName is this consumer's name within the group.
	ConsumerName string
	// BlockTimeout is how long Read waits for messages; 0 means until there is one or
	// the context ends.
	BlockTimeout time.Duration
	// StartID is ">" for new messages (the default), "0" for those that this consumer
	// got before and did not acknowledge.
	StartID string
}

// StreamConsumer reads a stream as a plain consumer group member, without leases. It
// is safe for concurrent use. For leased work use Broker.
type StreamConsumer struct {
	client *Client
	config StreamConsumerConfig
}

// StreamMessage is one entry of a stream.
type StreamMessage struct {
	ID     string
	Values map[string]any
}

// blockStep is how long one blocking command waits: a context that ends does not
// interrupt it.
const blockStep = time.Second

// NewStreamConsumer makes a consumer. Nothing is sent to Redis yet.
func NewStreamConsumer(client *Client, config StreamConsumerConfig) *StreamConsumer {
	if config.Stream == "" {
		config.Stream = DefaultQueue
	}
	if config.ConsumerGroup == "" {
		config.ConsumerGroup = DefaultGroup
	}
	if config.StartID == "" {
		config.StartID = ">"
	}
	return &StreamConsumer{client: client, config: config}
}

// StreamKey is the stream's key as it stands in Redis.
func (s *StreamConsumer) StreamKey() string { return s.client.PrefixedKey(s.config.Stream) }

// EnsureGroup creates the group, and the stream, where they are missing. The group
// starts at the stream's beginning: messages that were published before are read.
func (s *StreamConsumer) EnsureGroup(ctx context.Context) error {
	err := s.client.commands.XGroupCreateMkStream(ctx, s.StreamKey(), s.config.ConsumerGroup, "0").Err()
	if err != nil && strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return nil
	}
	return translate("create group", err, repeatable)
}

// Read returns up to count messages; none, and no error, when BlockTimeout passes. A
// group that is missing is created. When the context ends while it waits, it returns
// the context's error within a second; messages that it was given are always returned.
func (s *StreamConsumer) Read(ctx context.Context, count int64) ([]StreamMessage, error) {
	if s.config.ConsumerName == "" {
		return nil, invalid("consumer_name", "must not be empty")
	}
	var deadline time.Time
	if s.config.BlockTimeout > 0 {
		deadline = time.Now().Add(s.config.BlockTimeout)
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		block := blockStep
		if !deadline.IsZero() {
			block = min(block, time.Until(deadline))
		}
		if until, ok := ctx.Deadline(); ok {
			block = min(block, time.Until(until))
		}
		// Less than a millisecond would mean forever.
		messages, err := s.readOnce(ctx, count, max(block, time.Millisecond))
		if err != nil || len(messages) > 0 || s.config.StartID != ">" {
			return messages, err
		}
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return nil, nil
		}
	}
}

// readOnce is one blocking read. The context's end must not cut off its answer: the
// messages in it are delivered already.
func (s *StreamConsumer) readOnce(ctx context.Context, count int64, block time.Duration) ([]StreamMessage, error) {
	streams, err := s.client.blocking.XReadGroup(context.WithoutCancel(ctx), &goredis.XReadGroupArgs{
		Group:    s.config.ConsumerGroup,
		Consumer: s.config.ConsumerName,
		Streams:  []string{s.StreamKey(), s.config.StartID},
		Count:    count,
		Block:    block,
	}).Result()
	switch {
	case errors.Is(err, goredis.Nil):
		return nil, nil
	case err != nil && (strings.HasPrefix(err.Error(), "NOGROUP") || strings.HasPrefix(err.Error(), "UNBLOCKED")):
		return nil, s.EnsureGroup(ctx)
	case err != nil:
		return nil, translate("read stream", err, repeatable)
	}
	var messages []StreamMessage
	for _, stream := range streams {
		for _, message := range stream.Messages {
			messages = append(messages, StreamMessage{ID: message.ID, Values: message.Values})
		}
	}
	return messages, nil
}

// Ack acknowledges a message.
func (s *StreamConsumer) Ack(ctx context.Context, id string) error {
	return s.AckMany(ctx, []string{id})
}

// AckMany acknowledges messages.
func (s *StreamConsumer) AckMany(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	return translate("ack", s.client.commands.XAck(ctx, s.StreamKey(), s.config.ConsumerGroup, ids...).Err(), repeatable)
}

// Publish appends a message and returns its id. It is not repeated when the
// connection breaks: ErrOutcomeUnknown means that it may be there.
func (s *StreamConsumer) Publish(ctx context.Context, values map[string]any) (string, error) {
	if len(values) == 0 {
		return "", invalid("values", "must not be empty")
	}
	args := make([]any, 0, 3+2*len(values))
	args = append(args, "xadd", s.StreamKey(), "*")
	flat, err := flatten(values)
	if err != nil {
		return "", err
	}
	args = appendStrings(args, flat)
	reply, err := s.client.do(ctx, args...)
	if err != nil {
		return "", translate("publish", err, once)
	}
	id, _ := reply.(string)
	return id, nil
}
