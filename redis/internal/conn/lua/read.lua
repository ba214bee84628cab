-- Leases tasks to a consumer. Creates the group, from the stream's beginning, when there is a stream
-- and no such group, and the group may be created.
--
-- KEYS  1   stream      task stream
--       2   paused      exists while the queue is paused
--       3   cancelled   cancelled jobs
--       4   uncounted   hash: deliveries that don't count
--       5   begins      hash: where each group began
--       6   created     groups that were created
--       7…  the keys of fairness, if any: fair.lua
-- ARGV  1   group
--       2   consumer
--       3   max         how many tasks
--       4   lease       ms
--       5   mode        'claim': expired leases first, then new tasks; 'new': new tasks only; 'own':
--                       what the consumer holds, longest held first
--       6   max_bytes   how many bytes of entries at most; the first entry is returned in any case
--       7   per_entry   what an entry counts beside its fields, bytes
--       8   per_field   what a field counts beside its name and value, bytes
--       9   fairness    settings of fairness, or ''
--       10  may_create  'named': the settings name the group; 'any': they allow any group; or ''
-- Returns {now in ms, number of leases whose entry is gone, state, health, entry, entry, …}:
--   state   MORE: expired leases may be left; PAUSED: the queue is paused; or ''
--   health  CREATED: the group was created; ABSENT: there is no stream; NO_GROUP: the group may not
--           be created; GROUPS: there are max_groups groups already; or ''
--   entry   {id, delivery count, {field, value, …}, CANCELLED if its job was cancelled or '', number
--           of deliveries that don't count}
local stream, paused, cancelled, uncounted, begins, created = unpack(KEYS, 1, 6)
local group, consumer, max, lease, mode = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local max_bytes, per_entry, per_field = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local f, may_create = fairness(ARGV[9], 7), ARGV[10]

local want, room, taken, gone, state, health = tonumber(max), max_bytes, 0, 0, '', ''
local out = {text(now_ms())}
local has_cancelled, has_uncounted = false, false
if call('EXISTS', paused, cancelled, uncounted) > 0 then
  if mode ~= 'own' and call('EXISTS', paused) == 1 then return {out[1], '0', 'PAUSED', ''} end
  has_cancelled = call('EXISTS', cancelled) == 1
  has_uncounted = call('EXISTS', uncounted) == 1
end

-- cannot_create is why the group can't be created, '' if it can.
local function cannot_create()
  if may_create == '' and call('SISMEMBER', created, group) == 0 then return 'NO_GROUP' end
  if call('EXISTS', stream) == 0 then return 'ABSENT' end
  if may_create == 'any' and #call('XINFO', 'GROUPS', stream) >= max_groups then return 'GROUPS' end
  return ''
end

-- in_group calls a command that needs the group, and creates the group if it is missing. It returns
-- nil if there is none.
local function in_group(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if not string.find(reply.err, 'NOGROUP', 1, true) then error(reply.err) end
  health = cannot_create()
  if health ~= '' then return nil end
  call('XGROUP', 'CREATE', stream, group, '0')
  call('HSET', begins, group, '0-0')
  health = 'CREATED'
  return call(...)
end

local function size(fields)
  local n = per_entry
  for i = 1, #fields do n = n + #fields[i] + per_field / 2 end
  return n
end

-- is_cancelled is true for an entry that was published before its job was cancelled.
local function is_cancelled(id, fields)
  if not has_cancelled then return false end
  local at = call('ZSCORE', cancelled, (job_of(fields)))
  return at and tonumber(at) >= published_at(id, fields)
end

-- deliver adds a leased entry to the result; false if it does not fit.
local function deliver(id, count, fields)
  local bytes = size(fields)
  if taken > 0 and bytes > room then
    room = 0
    return false
  end
  room, taken = room - bytes, taken + 1
  out[#out + 1] = {id, text(count), fields, is_cancelled(id, fields) and 'CANCELLED' or '',
    has_uncounted and count > 1 and call('HGET', uncounted, group .. ' ' .. id) or '0'}
  return true
end

-- claim leases pending entries again. An entry that was deleted under its lease is acknowledged: there
-- is nothing to deliver.
local function claim(pending)
  for i = 1, math.min(#pending, want) do
    local id, count = pending[i][1], tonumber(pending[i][4]) + 1
    local entry = call('XRANGE', stream, id, id)[1]
    if not entry then
      call('XACK', stream, group, id)
      gone = gone + 1
    elseif deliver(id, count, entry[2]) then
      call('XCLAIM', stream, group, consumer, '0', id, 'IDLE', '0', 'RETRYCOUNT', text(count), 'JUSTID')
    else
      return
    end
  end
end

-- move moves up to n tasks from the backlog into the stream, and returns how many it moved.
local function move(n)
  local moved = 0
  while f and moved < n and advance(f, stream) do moved = moved + 1 end
  return moved
end

-- read_new leases new entries, a few first to learn their size. One that then does not fit is due at
-- once, as if it had not been delivered.
local function read_new()
  local step = 4
  while taken < want and room > 0 do
    local n = math.min(want - taken, step)
    local reply = in_group('XREADGROUP', 'GROUP', group, consumer, 'COUNT', text(n), 'STREAMS', stream, '>')
    local entries = reply and reply[1][2] or {}
    for i = 1, #entries do
      local id = entries[i][1]
      if not deliver(id, 1, entries[i][2]) then
        call('XCLAIM', stream, group, consumer, '0', id, 'IDLE', lease, 'RETRYCOUNT', '0', 'JUSTID')
        state = 'MORE'
      end
    end
    if health == 'NO_GROUP' or health == 'GROUPS' then return end
    if #entries < n and move(n - #entries) == 0 then return end
    if taken > 0 then step = math.min(64, math.ceil(room * taken / (max_bytes - room))) end
  end
end

if mode == 'own' then
  local held = in_group('XPENDING', stream, group, '-', '+', '1000', consumer) or {}
  for i = 1, #held do held[i].place = i end
  table.sort(held, function(a, b)
    if a[3] ~= b[3] then return tonumber(a[3]) > tonumber(b[3]) end
    return a.place < b.place
  end)
  claim(held)
else
  if mode == 'claim' then
    local expired = in_group('XPENDING', stream, group, 'IDLE', lease, '-', '+', max) or {}
    claim(expired)
    if #expired == want or taken + gone < #expired then state = 'MORE' end
  end
  read_new()
  if health ~= 'NO_GROUP' and health ~= 'GROUPS' then feed(f, stream) end
  -- Before Redis 7.2 a consumer that was given nothing is not created, and a group in which only such
  -- consumers read would not hold entries: see counting_groups.
  if taken == 0 and (health == '' or health == 'CREATED') then
    redis.pcall('XGROUP', 'CREATECONSUMER', stream, group, consumer)
  end
end
table.insert(out, 2, text(gone))
table.insert(out, 3, state)
table.insert(out, 4, health)
return out
