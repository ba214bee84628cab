-- Records a completion event, with the job's state and, under a lease, the settling
-- of its task: one step. A job that has a terminal event gets no further one.
--
-- An event of a raw peer may be in the JSON form. Only the caller reads JSON, so that
-- there is one opinion on it: such an event is given back to be judged, and the script
-- is called again.
--
-- KEYS  1 job state   2 completion stream   3 task stream
-- ARGV  1 group, '' for a worker without a lease   2 entry id   3 consumer
--       4 delivery count   5 TTL of a job state that has none, ms
--       6 TTL of the events, ms   7 what marks this lease in the event
--       8 how many events the job may have before its terminal one, '' for a
--         terminal event
--       9 number n of judgements, then n pairs: event id, its status or ''
--       then number n of the state's arguments, then those n arguments
--       then the event's fields and values
-- Returns {'OK', cursor}, {'ALREADY', cursor of the terminal event},
--         {'JUDGE', event id, data, event id, data, …},
--         {'NOT_PENDING'}, {'LEASE_LOST'} or {'FULL'}
local state, events, stream = KEYS[1], KEYS[2], KEYS[3]
local group, id, leased = ARGV[1], ARGV[2], ARGV[1] ~= ''
local is_terminal = {completed = true, partial = true, failed = true, cancelled = true}

local judged, at = {}, 10
for _ = 1, tonumber(ARGV[9]) do
  judged[ARGV[at]] = ARGV[at + 1]
  at = at + 2
end
local state_args = tonumber(ARGV[at])
local state_from = at + 1
local event_from = state_from + state_args

-- Find the job's terminal event. The last ten suffice: only a raw peer can have
-- appended anything after it.
local cursor, status, mark
local judge = {'JUDGE'}
for _, event in ipairs(redis.call('XREVRANGE', events, '+', '-', 'COUNT', '10')) do
  local fields = {}
  for i = 1, #event[2], 2 do fields[event[2][i]] = event[2][i + 1] end
  local word = fields.status or judged[event[1]]
  if not word and fields.data then
    judge[#judge + 1] = event[1]
    judge[#judge + 1] = fields.data
  elseif is_terminal[word or ''] then
    cursor, status, mark = event[1], word, fields.argus_lease
    break
  end
end
if #judge > 1 then return judge end

local known = redis.call('HGET', state, 'status') -- of another type: fails before anything is written
if leased then
  local lost = fence(stream, group, id, ARGV[3], ARGV[4])
  if lost then
    if cursor and mark == ARGV[7] then return {'ALREADY', cursor} end
    return {lost}
  end
elseif not cursor and ARGV[8] ~= '' and redis.call('XLEN', events) >= tonumber(ARGV[8]) then
  return {'FULL'}
end

if leased then settle(stream, group, id) end
if cursor then
  -- Someone may have written a state since, of a second run of the job.
  if known and not is_terminal[known] then redis.call('HSET', state, 'status', status) end
  if redis.call('PTTL', events) == -1 then redis.call('PEXPIRE', events, ARGV[6]) end
  return {'ALREADY', cursor}
end
if state_args > 0 then
  redis.call('HSET', state, unpack(ARGV, state_from, event_from - 1))
  if redis.call('PTTL', state) == -1 then redis.call('PEXPIRE', state, ARGV[5]) end
end
cursor = redis.call('XADD', events, '*', unpack(ARGV, event_from))
redis.call('PEXPIRE', events, ARGV[6])
return {'OK', cursor}
