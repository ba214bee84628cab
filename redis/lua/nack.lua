-- Gives a task back: to the end of the queue, now or later, or to the dead letters.
-- The new entry carries the attempts and the time of the first publish.
--
-- KEYS  1 task stream   2 delayed set   3 set of queues with delayed tasks
--       4 dead-letter stream
-- ARGV  1 group   2 entry id   3 consumer   4 delivery count
--       5 'requeue', 'delay' or 'dead'   6 delay, ms   7 reason   8 queue
--       9 how long dead letters are kept, ms   10 a unique id
-- Returns 'OK', 'NOT_PENDING', 'LEASE_LOST', or 'GONE' when the entry was deleted
local stream, group, id, action = KEYS[1], ARGV[1], ARGV[2], ARGV[5]
local lost = fence(stream, group, id, ARGV[3], ARGV[4])
if lost then return lost end
local entry = redis.call('XRANGE', stream, id, id)[1]
if not entry then
  redis.call('XACK', stream, group, id)
  return 'GONE'
end

local copy, attempts, published = {}, tonumber(ARGV[4]), string.match(id, '^%d+')
for i = 1, #entry[2], 2 do
  local name, value = entry[2][i], entry[2][i + 1]
  if name == 'argus_attempt' then
    attempts = attempts + (tonumber(value) or 0)
  elseif name == 'argus_published_at' then
    published = value
  elseif string.sub(name, 1, 6) ~= 'argus_' then
    copy[#copy + 1] = name
    copy[#copy + 1] = value
  end
end
-- More than Lua can pass in one call: keep it whole in one field.
if #copy > 7000 then copy = {'argus_packed', pack(copy)} end
for _, s in ipairs({'argus_attempt', text(attempts), 'argus_published_at', published}) do
  copy[#copy + 1] = s
end
if ARGV[7] ~= '' then
  copy[#copy + 1] = 'argus_reason'
  copy[#copy + 1] = ARGV[7]
end

local now = now_ms()
if action == 'dead' then
  for _, s in ipairs({'argus_source_id', id, 'argus_group', group, 'argus_dead_at', text(now)}) do
    copy[#copy + 1] = s
  end
  redis.call('XLEN', KEYS[4]) -- of another type: fail before anything is written
  settle(stream, group, id)
  bury(KEYS[4], ARGV[9], copy)
elseif action == 'delay' then
  table.insert(copy, 1, ARGV[10])
  redis.call('ZCARD', KEYS[2])
  redis.call('SCARD', KEYS[3])
  settle(stream, group, id)
  redis.call('ZADD', KEYS[2], text(now + tonumber(ARGV[6])), pack(copy))
  redis.call('SADD', KEYS[3], ARGV[8])
else
  settle(stream, group, id)
  redis.call('XADD', stream, '*', unpack(copy))
end
return 'OK'
