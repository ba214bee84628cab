-- Renews a lease, and writes fields of the job's state in the same step.
--
-- KEYS  1 task stream   2 job state   3 cancelled jobs   4 record of the job's parts
-- ARGV  1 group   2 entry id   3 consumer   4 delivery count
--       5 job state's TTL when this write creates it, ms   6 job id
--       7 TTL of the record of the parts, ms
--       then field, value, …
-- Returns {'OK', now in ms, 'CANCELLED' when nobody waits for the job any more or ''},
--         {'FULL'} when the state would become too large, {'NOT_PENDING'},
--         {'LEASE_LOST'} or {'OTHER_JOB'}
local lost, part = fence(KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]), nil
if not lost then lost, part = stray(KEYS[1], ARGV[2], ARGV[6], '') end
if lost then return {lost} end
local fields = #ARGV > 7 and call('HLEN', KEYS[2]) or 0
if #ARGV > 7 and not limits().fits(KEYS[2], fields, 8, #ARGV) then return {'FULL'} end
local cancelled = call('HGET', KEYS[2], 'status') == 'cancelled'
local at = call('ZSCORE', KEYS[3], ARGV[6])
if at then
  local entry = call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
  cancelled = cancelled or entry ~= nil and tonumber(at) >= published_at(entry[1], entry[2])
end
call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], '0', ARGV[2],
  'IDLE', '0', 'RETRYCOUNT', ARGV[4], 'JUSTID')
if #ARGV > 7 then
  hset(KEYS[2], 8)
  if fields == 0 then call('PEXPIRE', KEYS[2], ARGV[5]) end
end
if part and part ~= '' then call('PEXPIRE', KEYS[4], ARGV[7]) end
return {'OK', text(now_ms()), cancelled and 'CANCELLED' or ''}
