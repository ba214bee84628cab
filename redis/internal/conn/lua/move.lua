-- Moves tasks into their queue: delayed ones that are due, and the next ones of a fair queue. If the
-- queue is no longer fair, it moves its whole backlog.
--
-- KEYS  1   delayed       delayed tasks of the queue
--       2   stream        task stream
--       3   queues        the set of queues with tasks to be moved
--       4   dead_letters  dead-letter stream
--       5…  the keys of fairness: fair.lua
-- ARGV  1   queue
--       2   max           how many tasks at most
--       3   dead_ttl      how long dead letters are kept, ms
--       4   fairness      settings of fairness, or ''
--       5   mode          'count' to count the tasks in flight again, or ''
--       6   default_group
--       7…  ids of entries that were settled
-- Returns {number of tasks moved, ms until the next task is due or '', number of tasks in the backlog}
local delayed, stream, queues, dead_letters = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local queue, max, dead_ttl, mode, default_group = ARGV[1], ARGV[2], ARGV[3], ARGV[5], ARGV[6]
local f, was_fair, first_settled = fairness(ARGV[4], 5), false, 7
if not f and call('EXISTS', KEYS[5], KEYS[9]) > 0 then -- there is a backlog, or something in flight
  was_fair, f = true, fairness('{"limit":0,"limits":{},"weights":{}}', 5)
  f.group = default_group
end
call('XLEN', stream) -- of another type: fail before anything is written
local now = now_ms()
local due = call('ZRANGEBYSCORE', delayed, '-inf', text(now), 'LIMIT', '0', max)
for _, member in ipairs(due) do
  local entry = unpacked(member)
  if entry and #entry > 2 and #entry % 2 == 1 then
    enqueue(not was_fair and f or nil, stream, default_group, {unpack(entry, 2)})
  else
    dead_letter(dead_letters, dead_ttl, {'argus_packed', member, 'argus_reason', 'malformed: not a delayed task', 'argus_dead_at', text(now)})
  end
  call('ZREM', delayed, member)
end

-- landed removes an entry from those in flight, so that its organization may have another one.
local function landed(id)
  local org = call('HGET', f.held, id)
  if not org then return end
  call('HDEL', f.held, id)
  if call('HINCRBY', f.held, 'n:' .. org, '-1') <= 0 then call('HDEL', f.held, 'n:' .. org) end
end

-- unpark makes parked organizations ready that are below their limit.
local function unpark()
  for _, org in ipairs(call('ZRANGE', f.parked, '0', '-1')) do
    local limit = limit_of(f, org)
    if limit == 0 or tonumber(call('HGET', f.held, 'n:' .. org) or 0) < limit then
      call('ZADD', f.ready, score(math.max(virtual_time(f), tag(f.parked, org))), org)
      call('ZREM', f.parked, org)
    end
  end
end

-- in_flight is true for an entry that some group has still to read or to settle. An entry that was
-- deleted, by whatever client, is not in flight.
local function in_flight(id, groups)
  if #call('XRANGE', stream, id, id) == 0 then return false end
  for _, g in ipairs(groups) do
    if precedes(g['last-delivered-id'], id) or #call('XPENDING', stream, g.name, id, id, '1') > 0 then return true end
  end
  return #groups == 0
end

local backlog, moved, has_held = 0, #due, false
if f then
  for i = first_settled, #ARGV do landed(ARGV[i]) end
  if mode == 'count' then
    local groups = call('EXISTS', stream) == 1 and counting_groups(stream, default_group) or {}
    for _, id in ipairs(call('HKEYS', f.held)) do
      if string.find(id, '^%d+%-%d+$') and not in_flight(id, groups) then landed(id) end
    end
  end
  unpark()
  if was_fair then
    while moved < tonumber(max) and advance(f, stream) do moved = moved + 1 end
  else
    moved = moved + feed(f, stream)
  end
  backlog = call('ZCARD', f.backlog)
  if backlog == 0 then
    call('DEL', f.ready, f.parked, f.tags)
    call('HDEL', f.held, 'v', 'seq')
    if was_fair then call('DEL', f.held) end -- it limits no organization any longer
  end
  has_held = call('EXISTS', f.held) == 1 -- then the tasks in flight must be counted later
end
local first = call('ZRANGE', delayed, '0', '0', 'WITHSCORES')
if #first == 0 and backlog == 0 and not has_held then call('SREM', queues, queue) end
return {text(moved), #first == 0 and '' or text(math.max(0, tonumber(first[2]) - now)), text(backlog)}
