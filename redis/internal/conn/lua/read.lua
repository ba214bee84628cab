-- Leases tasks to a consumer. Creates the group, from the stream's beginning, when
-- the stream is there, the group is not, and it may be.
--
-- KEYS  1 task stream   2 mark of a paused queue   3 cancelled jobs
--       4 uncounted deliveries   5 hash: where each group began
--       6 groups that were created   7… the keys of fairness, if any
-- ARGV  1 group   2 consumer   3 how many   4 lease, ms
--       5 'claim': expired leases first, then new tasks; 'new': new tasks only;
--         'own': what the consumer holds, longest held first
--       6 how many bytes of entries at most; one entry is given in any case
--       7 what an entry counts beside its fields, bytes   8 what a field counts
--       9 how the queue is fair
--       10 'named' when the settings name the group; 'any' when they allow any; or ''
-- Returns {now in ms, number of leases whose entry is gone, 'MORE' when expired leases
--         may be left, 'PAUSED' or '', 'CREATED' when the group was; 'ABSENT' when there
--         is no stream; 'NO_GROUP' when the group may not be created, 'GROUPS' when there
--         are as many as there may be; or '', entry, entry, …} where an entry is
--         {id, delivery count, {field, value, …}, 'CANCELLED' when its job was or '',
--         how many of the deliveries don't count}
local stream, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local want, lease, mode = tonumber(ARGV[3]), ARGV[4], ARGV[5]
local room, per_entry, per_field = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local out, gone, more, health, taken = {text(now_ms())}, 0, '', '', 0
local f = fairness(ARGV[9], 7)
local some_cancelled, some_uncounted = false, false
if call('EXISTS', KEYS[2], KEYS[3], KEYS[4]) > 0 then
  if mode ~= 'own' and call('EXISTS', KEYS[2]) == 1 then return {out[1], '0', 'PAUSED', ''} end
  some_cancelled = call('EXISTS', KEYS[3]) == 1
  some_uncounted = call('EXISTS', KEYS[4]) == 1
end

-- in_group calls a command that needs the group; nil when there is no stream.
local function in_group(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if not string.find(reply.err, 'NOGROUP', 1, true) then error(reply.err) end
  health = ''
  if ARGV[10] == '' and call('SISMEMBER', KEYS[6], group) == 0 then
    health = 'NO_GROUP'
  elseif call('EXISTS', stream) == 0 then
    health = 'ABSENT'
  elseif ARGV[10] == 'any' and #call('XINFO', 'GROUPS', stream) >= max_groups then
    health = 'GROUPS'
  end
  if health ~= '' then return nil end
  call('XGROUP', 'CREATE', stream, group, '0')
  call('HSET', KEYS[5], group, '0-0')
  health = 'CREATED'
  return call(...)
end

local function size(fields)
  local n = per_entry
  for i = 1, #fields do n = n + #fields[i] + per_field / 2 end
  return n
end

-- is_cancelled is true of an entry that was published before its job was cancelled.
local function is_cancelled(id, fields)
  if not some_cancelled then return false end
  local at = call('ZSCORE', KEYS[3], (job_of(fields)))
  return at and tonumber(at) >= published_at(id, fields)
end

-- give adds a leased entry to the answer, if it has room; false when not.
local function give(id, count, fields)
  local bytes = size(fields)
  if taken > 0 and bytes > room then
    room = 0
    return false
  end
  room, taken = room - bytes, taken + 1
  out[#out + 1] = {id, text(count), fields, is_cancelled(id, fields) and 'CANCELLED' or '',
    some_uncounted and count > 1 and call('HGET', KEYS[4], group .. ' ' .. id) or '0'}
  return true
end

-- take leases pending entries anew. An entry that was deleted under its lease is
-- forgotten: there is nothing left to deliver.
local function take(pending)
  for i = 1, math.min(#pending, want) do
    local id, count = pending[i][1], tonumber(pending[i][4]) + 1
    local entry = call('XRANGE', stream, id, id)[1]
    if not entry then
      call('XACK', stream, group, id)
      gone = gone + 1
    elseif give(id, count, entry[2]) then
      call('XCLAIM', stream, group, consumer, '0', id, 'IDLE', '0', 'RETRYCOUNT', text(count), 'JUSTID')
    else
      return
    end
  end
end

-- move moves up to n tasks of the backlog into the stream, and says how many.
local function move(n)
  local moved = 0
  while f and moved < n and advance(f, stream) do moved = moved + 1 end
  return moved
end

-- read leases new entries, a few first to see how large they are. What then does not
-- fit is due at once, as if it had not been delivered.
local function read()
  local step = 4
  while taken < want and room > 0 do
    local n = math.min(want - taken, step)
    local reply = in_group('XREADGROUP', 'GROUP', group, consumer, 'COUNT', text(n), 'STREAMS', stream, '>')
    local entries = reply and reply[1][2] or {}
    for i = 1, #entries do
      local id = entries[i][1]
      if not give(id, 1, entries[i][2]) then
        call('XCLAIM', stream, group, consumer, '0', id, 'IDLE', lease, 'RETRYCOUNT', '0', 'JUSTID')
        more = 'MORE'
      end
    end
    if health == 'NO_GROUP' or health == 'GROUPS' then return end
    if #entries < n and move(n - #entries) == 0 then return end
    if taken > 0 then step = math.min(64, math.ceil(room * taken / (tonumber(ARGV[6]) - room))) end
  end
end

if mode == 'own' then
  local held = in_group('XPENDING', stream, group, '-', '+', '1000', consumer) or {}
  for i = 1, #held do held[i].place = i end
  table.sort(held, function(a, b)
    if a[3] ~= b[3] then return tonumber(a[3]) > tonumber(b[3]) end
    return a.place < b.place
  end)
  take(held)
else
  if mode == 'claim' then
    local expired = in_group('XPENDING', stream, group, 'IDLE', lease, '-', '+', ARGV[3]) or {}
    take(expired)
    if #expired == want or taken + gone < #expired then more = 'MORE' end
  end
  read()
  if health ~= 'NO_GROUP' and health ~= 'GROUPS' then feed(f, stream) end
  -- Before Redis 7.2 a consumer that was given nothing does not come into being, and a group
  -- that only such ones read with would not hold entries: see counting_groups.
  if taken == 0 and (health == '' or health == 'CREATED') then
    redis.pcall('XGROUP', 'CREATECONSUMER', stream, group, consumer)
  end
end
table.insert(out, 2, text(gone))
table.insert(out, 3, more)
table.insert(out, 4, health)
return out
