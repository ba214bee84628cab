-- Ends a task that no worker has: takes it from wherever it waits, and records its job's
-- result.
--
-- KEYS  1 job state   2 completion stream   3 scratch stream   4 active mark
--       5 how far the events were examined   6 record of the parts   7 task stream
--       8 delayed set, or backlog
-- ARGV  1 'entry' in the stream, 'set', or 'nowhere'   2 the entry's id, or the
--       member of the set
--       3 lease, ms: an entry whose lease is younger is left alone
--       4 the default group   5 when the task was published, ms, when jobs are to be unique, or
--       ''
--       6 'record', or '' for an entry that is no task   7 TTL of the state, ms
--       8 TTL of the events, ms   9 the recording, with one result
-- Returns {'DROPPED', 'OK' when the result is the job's now, 'ALREADY' when it had one, or
--         '' when none was to be recorded, cursor, status}, {'GONE'}, {'LEASED'} or a
--         question
local stream, place, id = KEYS[7], ARGV[1], ARGV[2]
local r
if ARGV[6] ~= '' then
  r = recording({state = KEYS[1], events = KEYS[2], scratch = KEYS[3], scan = KEYS[5], record = KEYS[6],
    state_ttl = ARGV[7], events_ttl = ARGV[8]}, 9, 1)
  local question = examine(r)
  if question and question[1] == 'NO_PART' then
    r = nil
  elseif question then
    return question
  end
end
if place == 'entry' then
  if #call('XRANGE', stream, id, id) == 0 then return {'GONE'} end
  local groups, is_settled = counting_groups(stream, ARGV[4]), true
  for _, g in ipairs(groups) do
    local pending = call('XPENDING', stream, g.name, id, id, '1')
    if #pending > 0 and tonumber(pending[1][3]) < tonumber(ARGV[3]) then return {'LEASED'} end
    if #pending > 0 or precedes(g['last-delivered-id'], id) then is_settled = false end
  end
  if is_settled and #groups > 0 then -- a raw peer acknowledged it and left it there
    call('XDEL', stream, id)
    if ARGV[5] ~= '' then count_mark(KEYS[4], -1, ARGV[5]) end
    return {'GONE'}
  end
  for _, g in ipairs(groups) do call('XACK', stream, g.name, id) end
  call('XDEL', stream, id)
elseif place == 'set' then
  if call('ZREM', KEYS[8], id) == 0 then return {'GONE'} end
end
if ARGV[5] ~= '' and place ~= 'nowhere' then count_mark(KEYS[4], -1, ARGV[5]) end
if not r then return {'DROPPED', '', '', ''} end
local recorded, cursor = record(r, 1)
return {'DROPPED', recorded, cursor, r.status or ''}
