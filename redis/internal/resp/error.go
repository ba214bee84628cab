package resp

import goredis "github.com/redis/go-redis/v9"

// ReplyError is an error that Redis gave as a reply, or a script passed on.
type ReplyError string

// Error is the text of the reply.
func (e ReplyError) Error() string { return string(e) }

// RedisError makes it an error reply to the driver's users.
func (ReplyError) RedisError() {}

var _ goredis.Error = ReplyError("")
