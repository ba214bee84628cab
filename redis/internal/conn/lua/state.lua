-- Writes fields of a job's state, fenced by a lease if one is given.
--
-- KEYS  1 job state   2 task stream, or the job state when there is no lease   3 record of
--       the job's parts
-- ARGV  1 'set': write; 'merge': write, and the TTL begins again; 'fail', 'keep', 'replace':
--         create, and what to do when there is a state already
--       2 TTL when this write creates the state, ms, 0 for none
--       3 group, '' for no lease   4 entry id   5 consumer   6 delivery count   7 job id
--       8 names of the parts that a new state has, separated by spaces, or ''
--       9 TTL of their record, ms
--       then field, value, …
-- Returns 'CREATED', 'WRITTEN', 'EXISTS', 'FULL' when the state would become too large,
--         'NOT_PENDING', 'LEASE_LOST' or 'OTHER_JOB'
local key, mode, ttl = KEYS[1], ARGV[1], tonumber(ARGV[2])
if ARGV[3] ~= '' then
  local lost = fence(KEYS[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]) or stray(KEYS[2], ARGV[4], ARGV[7], '')
  if lost then return lost end
end
local fields = call('HLEN', key) -- of another type: not ours to write to
local exists, is_added = fields > 0, mode == 'set' or mode == 'merge'
if exists and not is_added and mode ~= 'replace' then return 'EXISTS' end
if not limits().fits(key, is_added and fields or 0, 10, #ARGV) then return 'FULL' end
if exists and mode == 'replace' then call('DEL', key) end
hset(key, 10)
local is_new = not exists or mode == 'replace' or mode == 'merge'
if is_new and ttl > 0 then call('PEXPIRE', key, ARGV[2]) end
if not is_added then
  call('DEL', KEYS[3]) -- of a job of the same id
  if ARGV[8] ~= '' then call('HSET', KEYS[3], 'argus_parts', ARGV[8]) end
end
if ARGV[3] ~= '' or not is_added then call('PEXPIRE', KEYS[3], ARGV[9]) end
return exists and 'WRITTEN' or 'CREATED'
