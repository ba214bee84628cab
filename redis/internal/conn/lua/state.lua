-- Writes fields of a job's state, fenced by a lease if one is given.
--
-- KEYS  1 state: job state
--       2 tasks: task stream, or the job state without a lease
--       3 record: record of the job's parts
-- ARGV  1 mode: 'set': write; 'merge': write, and the TTL begins again; 'fail', 'keep',
--         'replace': create; they name what happens when there is a state already
--       2 ttl: TTL of a state that this write creates, ms, 0 for none
--       3 group: '' without a lease
--       4 id: entry id
--       5 consumer
--       6 count: delivery count
--       7 job: job id
--       8 parts: names of the parts of a new state, separated by spaces, or ''
--       9 record_ttl: TTL of the record of the parts, ms
--       10… field, value, …
-- Returns CREATED, WRITTEN, EXISTS, FULL when the state would become too large, NOT_PENDING,
--         LEASE_LOST or OTHER_JOB
local state, tasks, record = KEYS[1], KEYS[2], KEYS[3]
local mode, ttl, group, id, consumer, count = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local job, parts, record_ttl, first_field = ARGV[7], ARGV[8], ARGV[9], 10
if group ~= '' then
  local lost = fence(tasks, group, id, consumer, count) or stray(tasks, id, job, '')
  if lost then return lost end
end
local fields = call('HLEN', state) -- fails for a key of another type, before anything is written
local exists, is_added = fields > 0, mode == 'set' or mode == 'merge'
if exists and not is_added and mode ~= 'replace' then return 'EXISTS' end
if not limits().fits(state, is_added and fields or 0, first_field, #ARGV) then return 'FULL' end
if exists and mode == 'replace' then call('DEL', state) end
hset(state, first_field)
local is_new = not exists or mode == 'replace' or mode == 'merge'
if is_new and ttl > 0 then call('PEXPIRE', state, text(ttl)) end
if not is_added then
  call('DEL', record) -- of an earlier job with the same id
  if parts ~= '' then call('HSET', record, 'argus_parts', parts) end
end
if group ~= '' or not is_added then call('PEXPIRE', record, record_ttl) end
return exists and 'WRITTEN' or 'CREATED'
