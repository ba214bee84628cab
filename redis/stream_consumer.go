package redis

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// StreamConsumerConfig says what a StreamConsumer reads.
type StreamConsumerConfig struct {
	// Stream is the stream's name without the client's prefix, such as DefaultQueue. Required.
	Stream string
	// ConsumerGroup is the group, such as DefaultGroup. Required.
	ConsumerGroup string
	// ConsumerName is this consumer's name within the group. Required.
	ConsumerName string
	// BlockTimeout is how long Read waits for messages; 0 means until a message arrives or the context ends.
	BlockTimeout time.Duration
	// StartID is ">" for new messages (the default), or "0" for the pending entries of this consumer: those
	// that it has received and not acknowledged. A Read of pending entries does not wait.
	StartID string
}

// StreamConsumer reads a stream as a plain member of a consumer group, without leases. It is safe for
// concurrent use. For leased tasks use package broker.
type StreamConsumer struct {
	client *Client
	config StreamConsumerConfig
}

// StreamMessage is one entry of a stream.
type StreamMessage struct {
	ID     string
	Values map[string]string
}

// blockStep is how long one blocking command waits. The end of the context does not interrupt the command,
// so it bounds how late Read returns.
const blockStep = time.Second

// NewStreamConsumer returns a consumer. It sends nothing to Redis. It fails with an *ArgumentError when the
// client is nil or a required name is empty.
func NewStreamConsumer(client *Client, config StreamConsumerConfig) (*StreamConsumer, error) {
	if client == nil {
		return nil, job.Invalid("client", "must not be nil; create one with NewClient")
	}
	for _, required := range [][2]string{{"stream", config.Stream}, {"consumer_group", config.ConsumerGroup}, {"consumer_name", config.ConsumerName}} {
		if required[1] == "" {
			return nil, job.Invalid(required[0], "must not be empty")
		}
	}
	if config.StartID == "" {
		config.StartID = ">"
	}
	return &StreamConsumer{client: client, config: config}, nil
}

// StreamKey returns the stream's key as it stands in Redis.
func (s *StreamConsumer) StreamKey() string { return s.client.PrefixedKey(s.config.Stream) }

// EnsureGroup creates the group and the stream if they are missing; an existing group stays as it is. The
// group starts at the beginning of the stream, so it reads messages that were published before.
func (s *StreamConsumer) EnsureGroup(ctx context.Context) error {
	err := s.client.conn.Commands.XGroupCreateMkStream(ctx, s.StreamKey(), s.config.ConsumerGroup, "0").Err()
	if err != nil && strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return nil
	}
	return conn.Translate("create group", err, conn.Repeatable)
}

// Read returns up to count messages, and none without an error after BlockTimeout. It creates a missing
// group. If the context ends, Read returns its error within a second; it always returns messages that Redis
// has delivered.
func (s *StreamConsumer) Read(ctx context.Context, count int64) ([]StreamMessage, error) {
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
		// The driver truncates less than a millisecond to 0, which blocks forever.
		messages, err := s.readOnce(ctx, count, max(block, time.Millisecond))
		if err != nil || len(messages) > 0 || s.config.StartID != ">" {
			return messages, err
		}
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return nil, nil
		}
	}
}

// readOnce sends one blocking read. It ignores the end of the context, because the messages of a reply that
// is not read are already delivered, and so lost to the group until claimed.
func (s *StreamConsumer) readOnce(ctx context.Context, count int64, block time.Duration) ([]StreamMessage, error) {
	streams, err := s.client.conn.Blocking.XReadGroup(context.WithoutCancel(ctx), &goredis.XReadGroupArgs{
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
		return nil, conn.Translate("read stream", err, conn.Repeatable)
	}
	var messages []StreamMessage
	for _, stream := range streams {
		for _, message := range stream.Messages {
			messages = append(messages, StreamMessage{ID: message.ID, Values: job.TextFields(message.Values)})
		}
	}
	return messages, nil
}

// Ack acknowledges a message. A message that is not pending is not an error.
func (s *StreamConsumer) Ack(ctx context.Context, id string) error {
	return s.AckMany(ctx, id)
}

// AckMany acknowledges messages with one command. Without ids it does nothing.
func (s *StreamConsumer) AckMany(ctx context.Context, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	return conn.Translate("ack", s.client.conn.Commands.XAck(ctx, s.StreamKey(), s.config.ConsumerGroup, ids...).Err(), conn.Repeatable)
}

// Publish appends a message and returns its id. It writes values as the driver does: text and bytes as they
// are, numbers in decimal, true and false as 1 and 0, a time in RFC 3339, a duration in nanoseconds, and an
// encoding.BinaryMarshaler in its own form. Publish does not retry when the connection breaks:
// ErrOutcomeUnknown means that the message may have been appended.
func (s *StreamConsumer) Publish(ctx context.Context, values map[string]any) (string, error) {
	if len(values) == 0 {
		return "", job.Invalid("values", "must not be empty")
	}
	args := make([]any, 0, 3+2*len(values))
	args = append(args, "xadd", s.StreamKey(), "*")
	for name, value := range values {
		text, err := plainText(value)
		if err != nil {
			return "", job.Invalid(name, "%v", err)
		}
		args = append(args, name, text)
	}
	reply, err := s.client.conn.Do(ctx, args...)
	if err != nil {
		return "", conn.Translate("publish", err, conn.Once)
	}
	id, _ := reply.(string)
	return id, nil
}

// plainText returns a value as the driver writes it. The driver itself would fail every command of the
// pipeline that contains a value without such a form, so the check comes first.
func plainText(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	case bool:
		if v {
			return "1", nil
		}
		return "0", nil
	case float32:
		return strconv.FormatFloat(float64(v), 'f', -1, 64), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case time.Time:
		return v.Format(time.RFC3339Nano), nil
	case time.Duration:
		return strconv.FormatInt(v.Nanoseconds(), 10), nil
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return fmt.Sprint(v), nil
	case encoding.BinaryMarshaler:
		text, err := v.MarshalBinary()
		return string(text), err
	}
	return "", fmt.Errorf("a %T has no text form; encode it as text first", value)
}
