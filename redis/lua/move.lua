-- Moves delayed tasks that are due into their queue.
--
-- KEYS  1 delayed set   2 task stream   3 set of queues with delayed tasks
-- ARGV  1 queue   2 how many at most
-- Returns {number moved, ms until the next is due, '' when there is none}
local now = now_ms()
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', '0', ARGV[2])
for _, member in ipairs(due) do
  local entry = unpacked(member)
  redis.call('XADD', KEYS[2], '*', unpack(entry, 2))
  redis.call('ZREM', KEYS[1], member)
end
local first = redis.call('ZRANGE', KEYS[1], '0', '0', 'WITHSCORES')
if #first == 0 then
  redis.call('SREM', KEYS[3], ARGV[1])
  return {text(#due), ''}
end
return {text(#due), text(math.max(0, tonumber(first[2]) - now))}
