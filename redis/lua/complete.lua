-- Records a completion event, with the job's state and, under a lease, the settling
-- of its task: one step. A job that has a terminal event gets no further one.
--
-- KEYS  1 job state   2 completion stream   3 task stream
-- ARGV  1 group, '' for a worker without a lease   2 entry id   3 consumer
--       4 delivery count   5 TTL of a job state that has none, ms
--       6 TTL of the events, ms
--       7 what marks this lease in the event
--       8 number n of the state's arguments, then those n arguments
--       then the event's fields and values
-- Returns {'OK', cursor}, {'ALREADY', cursor of the terminal event},
--         {'NOT_PENDING'} or {'LEASE_LOST'}
local state, events, stream = KEYS[1], KEYS[2], KEYS[3]
local group, id, leased = ARGV[1], ARGV[2], ARGV[1] ~= ''
local is_terminal = {completed = true, partial = true, failed = true, cancelled = true}

-- terminal finds the job's terminal event: its id, and the mark of its lease. The
-- last ten suffice: only a raw peer can have appended anything after it.
local function terminal()
  for _, event in ipairs(redis.call('XREVRANGE', events, '+', '-', 'COUNT', '10')) do
    local fields = {}
    for i = 1, #event[2], 2 do fields[event[2][i]] = event[2][i + 1] end
    local status = fields.status
    if not status and fields.data then
      local ok, data = pcall(cjson.decode, fields.data)
      if ok and type(data) == 'table' then status = data.status end
    end
    if is_terminal[status or ''] then return event[1], fields.argus_lease end
  end
end

local cursor, mark = terminal()
redis.call('HEXISTS', state, 'status') -- of another type: fail before anything is written
if leased then
  local lost = fence(stream, group, id, ARGV[3], ARGV[4])
  if lost then
    if cursor and mark == ARGV[7] then return {'ALREADY', cursor} end
    return {lost}
  end
  settle(stream, group, id)
end
if cursor then return {'ALREADY', cursor} end

local n = tonumber(ARGV[8])
if n > 0 then
  redis.call('HSET', state, unpack(ARGV, 9, 8 + n))
  if redis.call('PTTL', state) == -1 then redis.call('PEXPIRE', state, ARGV[5]) end
end
cursor = redis.call('XADD', events, 'MAXLEN', '~', '1000', '*', unpack(ARGV, 9 + n))
redis.call('PEXPIRE', events, ARGV[6])
return {'OK', cursor}
