-- Ends a task that no worker has: removes it from where it waits, and records its job's result.
--
-- KEYS  1   state         job state
--       2   events        completion stream
--       3   scratch       scratch stream
--       4   mark          active mark
--       5   scan          how far the events were examined
--       6   parts         record of the parts
--       7   stream        task stream
--       8   set           delayed set, or backlog
-- ARGV  1   place         'entry': in the stream; 'set'; or 'nowhere'
--       2   id            entry id, or member of the set
--       3   lease         ms; an entry whose lease is younger is left alone
--       4   default_group
--       5   published     when the task was published, ms, if jobs are to be unique, or ''
--       6   mode          'record', or '' to record nothing
--       7   state_ttl     ms
--       8   events_ttl    ms
--       9…  the recording with one result: record.lua
-- Returns {verdict, …}, or a question: record.lua
--   {DROPPED, recorded, cursor, status}  recorded: OK when the result is the job's now, ALREADY when it
--                                        had one, '' when none was to be recorded
--   {GONE}    the task was not where it was expected
--   {LEASED}  a worker has it
local state, events, scratch, mark, scan, parts, stream, set = unpack(KEYS, 1, 8)
local place, id, lease, default_group, published, mode = unpack(ARGV, 1, 6)
local state_ttl, events_ttl = ARGV[7], ARGV[8]
local r
if mode == 'record' then
  r = recording({state = state, events = events, scratch = scratch, scan = scan, record = parts,
    state_ttl = state_ttl, events_ttl = events_ttl}, 9, 1)
  local question = examine(r)
  if question and question[1] == 'NO_PART' then
    r = nil
  elseif question then
    return question
  end
end
if place == 'entry' then
  if #call('XRANGE', stream, id, id) == 0 then return {'GONE'} end
  local groups, is_settled = counting_groups(stream, default_group), true
  for _, g in ipairs(groups) do
    local pending = call('XPENDING', stream, g.name, id, id, '1')
    if #pending > 0 and tonumber(pending[1][3]) < tonumber(lease) then return {'LEASED'} end
    if #pending > 0 or precedes(g['last-delivered-id'], id) then is_settled = false end
  end
  if is_settled and #groups > 0 then -- a raw peer acknowledged it without deleting it
    call('XDEL', stream, id)
    if published ~= '' then count_mark(mark, -1, published) end
    return {'GONE'}
  end
  for _, g in ipairs(groups) do call('XACK', stream, g.name, id) end
  call('XDEL', stream, id)
elseif place == 'set' then
  if call('ZREM', set, id) == 0 then return {'GONE'} end
end
if published ~= '' and place ~= 'nowhere' then count_mark(mark, -1, published) end
if not r then return {'DROPPED', '', '', ''} end
local recorded, cursor = record(r, 1)
return {'DROPPED', recorded, cursor, r.status or ''}
