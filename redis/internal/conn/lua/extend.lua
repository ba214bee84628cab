-- Renews a lease, and writes fields of the job's state in the same step.
--
-- KEYS  1   stream     task stream
--       2   state      job state
--       3   cancelled  cancelled jobs
--       4   parts      record of the job's parts
-- ARGV  1   group
--       2   id         entry id
--       3   consumer
--       4   count      delivery count
--       5   state_ttl  TTL of the state if this write creates it, ms
--       6   job        job id
--       7   parts_ttl  TTL of the record of the parts, ms
--       8…  field, value, … of the state
-- Returns {verdict, …}:
--   {OK, now in ms, CANCELLED or ''}  CANCELLED: the job was cancelled, its result is not awaited
--   {FULL}                            the state would become too large; nothing was written
--   {NOT_PENDING}, {LEASE_LOST}, {OTHER_JOB}  as for ack
local stream, state, cancelled, parts = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, id, consumer, count = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local state_ttl, job, parts_ttl, first_field = ARGV[5], ARGV[6], ARGV[7], 8
local has_fields = #ARGV >= first_field
local lost, part = fence(stream, group, id, consumer, count), nil
if not lost then lost, part = stray(stream, id, job, '') end
if lost then return {lost} end
local fields = has_fields and call('HLEN', state) or 0
if has_fields and not limits().fits(state, fields, first_field, #ARGV) then return {'FULL'} end
local is_cancelled = call('HGET', state, 'status') == 'cancelled'
local at = call('ZSCORE', cancelled, job)
if at then
  local entry = call('XRANGE', stream, id, id)[1]
  is_cancelled = is_cancelled or entry ~= nil and tonumber(at) >= published_at(entry[1], entry[2])
end
call('XCLAIM', stream, group, consumer, '0', id, 'IDLE', '0', 'RETRYCOUNT', count, 'JUSTID')
if has_fields then
  hset(state, first_field)
  if fields == 0 then call('PEXPIRE', state, state_ttl) end
end
if part and part ~= '' then call('PEXPIRE', parts, parts_ttl) end
return {'OK', text(now_ms()), is_cancelled and 'CANCELLED' or ''}
