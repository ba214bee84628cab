-- Writes fields of a job's state, fenced by a lease if one is given.
--
-- KEYS  1 job state   2 task stream, or the job state when there is no lease
-- ARGV  1 'set': write; 'fail', 'keep', 'replace': create, and what to do when
--         there is a state already
--       2 TTL when this write creates the state, ms, 0 for none
--       3 group, '' for no lease   4 entry id   5 consumer   6 delivery count
--       then field, value, …
-- Returns 'CREATED', 'WRITTEN', 'EXISTS', 'FULL' when the state would become too large,
--         'NOT_PENDING' or 'LEASE_LOST'
local key, mode, ttl = KEYS[1], ARGV[1], tonumber(ARGV[2])
if ARGV[3] ~= '' then
  local lost = fence(KEYS[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6])
  if lost then return lost end
end
local fields = call('HLEN', key) -- of another type: not ours to write to
local exists = fields > 0
if exists and mode ~= 'set' and mode ~= 'replace' then return 'EXISTS' end
if not limits().fits(key, mode == 'set' and fields or 0, 7, #ARGV) then return 'FULL' end
if exists and mode == 'replace' then call('DEL', key) end
hset(key, 7)
local is_new = not exists or mode == 'replace'
if is_new and ttl > 0 then call('PEXPIRE', key, ARGV[2]) end
return exists and 'WRITTEN' or 'CREATED'
