-- Moves delayed tasks that are due into their queue.
--
-- KEYS  1 delayed set   2 task stream   3 set of queues with delayed tasks
--       4 dead-letter stream
-- ARGV  1 queue   2 how many at most   3 how long dead letters are kept, ms
-- Returns {number moved, ms until the next is due, '' when there is none}
local now = now_ms()
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', '0', ARGV[2])
for _, member in ipairs(due) do
  local entry = unpacked(member)
  if entry and #entry > 2 and #entry % 2 == 1 then
    redis.call('XADD', KEYS[2], '*', unpack(entry, 2))
  else
    bury(KEYS[4], ARGV[3], {'argus_packed', member, 'argus_reason', 'malformed: not a delayed task', 'argus_dead_at', text(now)})
  end
  redis.call('ZREM', KEYS[1], member)
end
local first = redis.call('ZRANGE', KEYS[1], '0', '0', 'WITHSCORES')
if #first == 0 then
  redis.call('SREM', KEYS[3], ARGV[1])
  return {text(#due), ''}
end
return {text(#due), text(math.max(0, tonumber(first[2]) - now))}
