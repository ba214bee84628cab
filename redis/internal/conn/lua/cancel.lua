-- Marks a job as cancelled: none of its tasks published so far is delivered from now on, its workers
-- are notified, and its state says so if it has one.
--
-- KEYS  1   state         job state
--       2   events        completion stream
--       3   scratch       scratch stream
--       4   mark          active mark; not used
--       5   scan          how far the events were examined
--       6   parts         record of the parts
--       7   cancelled     cancelled jobs
-- ARGV  1   job           job id
--       2   channel       notifies raw workers
--       3   reason
--       4   state_ttl     ms
--       5   events_ttl    ms
--       6…  the recording without results: record.lua
-- Returns {verdict, …}, or a question: record.lua
--   {MARKED, is_known, has_parts}  each '1' or '0'; is_known: the job has a state or events
--   {ALREADY, cursor, status}      the job has its result
local state, events, scratch, scan, parts, cancelled = KEYS[1], KEYS[2], KEYS[3], KEYS[5], KEYS[6], KEYS[7]
local job, channel, reason, state_ttl, events_ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local r = recording({state = state, events = events, scratch = scratch, scan = scan, record = parts,
  state_ttl = state_ttl, events_ttl = events_ttl}, 6, 0)
local question = examine(r)
if question then return question end
if r.found then return {'ALREADY', r.found, r.status} end
local now = text(now_ms())
call('ZADD', cancelled, now, job)
local is_known = call('EXISTS', state, events) > 0
if call('EXISTS', state) == 1 then
  call('HSET', state, 'cancel_requested', now, 'cancel_reason', reason)
end
redis.pcall('PUBLISH', channel, reason) -- an ACL may forbid it
local has_parts = math.max(call('HEXISTS', state, 'argus_parts'), call('EXISTS', parts))
return {'MARKED', is_known and '1' or '0', text(has_parts)}
