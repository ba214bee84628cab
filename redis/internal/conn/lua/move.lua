-- Moves tasks into their queue: delayed ones that are due, and of a fair queue those whose
-- turn it is. Where a queue is fair no more, all of its backlog goes.
--
-- KEYS  1 delayed set   2 task stream   3 set of queues with tasks to be moved
--       4 dead-letter stream   5… the keys of fairness
-- ARGV  1 queue   2 how many at most   3 how long dead letters are kept, ms
--       4 how the queue is fair   5 'count' to count anew what is in flight, or ''
--       6 the default group   7… ids of entries that were settled
-- Returns {number moved, ms until the next is due, '' when there is none, how many are in
--         the backlog}
local stream, most = KEYS[2], tonumber(ARGV[2])
local f, was_fair = fairness(ARGV[4], 5), false
if not f and call('EXISTS', KEYS[5], KEYS[9]) > 0 then
  was_fair, f = true, fairness('{"limit":0,"limits":{},"weights":{}}', 5)
  f.group = ARGV[6]
end
call('XLEN', stream) -- of another type: fail before anything is written
local now = now_ms()
local due = call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', '0', ARGV[2])
for _, member in ipairs(due) do
  local entry = unpacked(member)
  if entry and #entry > 2 and #entry % 2 == 1 then
    enqueue(not was_fair and f or nil, stream, ARGV[6], {unpack(entry, 2)})
  else
    bury(KEYS[4], ARGV[3], {'argus_packed', member, 'argus_reason', 'malformed: not a delayed task', 'argus_dead_at', text(now)})
  end
  call('ZREM', KEYS[1], member)
end

-- settled forgets that an entry is in flight, so that its organization may go on.
local function settled(id)
  local org = call('HGET', f.held, id)
  if not org then return end
  call('HDEL', f.held, id)
  if call('HINCRBY', f.held, 'n:' .. org, '-1') <= 0 then call('HDEL', f.held, 'n:' .. org) end
end

-- unpark lets organizations go on that may.
local function unpark()
  for _, org in ipairs(call('ZRANGE', f.parked, '0', '-1')) do
    local limit = limit_of(f, org)
    if limit == 0 or tonumber(call('HGET', f.held, 'n:' .. org) or 0) < limit then
      call('ZADD', f.ready, score(math.max(virtual_time(f), tag(f.parked, org))), org)
      call('ZREM', f.parked, org)
    end
  end
end

-- in_flight is true of an entry that some group has still to read or to settle. What is not
-- in the stream any more is not in flight, whatever deleted it.
local function in_flight(id, groups)
  if #call('XRANGE', stream, id, id) == 0 then return false end
  for _, g in ipairs(groups) do
    if precedes(g['last-delivered-id'], id) or #call('XPENDING', stream, g.name, id, id, '1') > 0 then return true end
  end
  return #groups == 0
end

local backlog, moved, in_hand = 0, #due, false
if f then
  for i = 7, #ARGV do settled(ARGV[i]) end
  if ARGV[5] ~= '' then
    local groups = call('EXISTS', stream) == 1 and counting_groups(stream, ARGV[6]) or {}
    for _, id in ipairs(call('HKEYS', f.held)) do
      if string.find(id, '^%d+%-%d+$') and not in_flight(id, groups) then settled(id) end
    end
  end
  unpark()
  if was_fair then
    while moved < most and advance(f, stream) do moved = moved + 1 end
  else
    moved = moved + feed(f, stream)
  end
  backlog = call('ZCARD', f.backlog)
  if backlog == 0 then
    call('DEL', f.ready, f.parked, f.tags)
    call('HDEL', f.held, 'v', 'seq')
    if was_fair then call('DEL', f.held) end -- it limits no organization any more
  end
  in_hand = call('EXISTS', f.held) == 1 -- someone has to count
end
local first = call('ZRANGE', KEYS[1], '0', '0', 'WITHSCORES')
if #first == 0 and backlog == 0 and not in_hand then call('SREM', KEYS[3], ARGV[1]) end
return {text(moved), #first == 0 and '' or text(math.max(0, tonumber(first[2]) - now)), text(backlog)}
