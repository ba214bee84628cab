-- Asks for a job to be cancelled: from now on none of its tasks published so far is
-- delivered, the workers that have one are told, and its state says so if it has one.
--
-- KEYS  1 job state   2 completion stream   3 scratch stream   4 active mark
--       5 how far the events were examined   6 record of the parts   7 cancelled jobs
-- ARGV  1 job id   2 channel for raw workers   3 reason   4 TTL of the state, ms
--       5 TTL of the events, ms   6 the recording, without results
-- Returns {'MARKED', '1' when the job has a state or events, else '0', '1' when it has
--         parts, else '0'},
--         {'ALREADY', cursor, status} for a job that has its result, or a question
local r = recording({state = KEYS[1], events = KEYS[2], scratch = KEYS[3],
  scan = KEYS[5], record = KEYS[6], state_ttl = ARGV[4], events_ttl = ARGV[5]}, 6, 0)
local question = examine(r)
if question then return question end
if r.found then return {'ALREADY', r.found, r.status} end
local now = text(now_ms())
call('ZADD', KEYS[7], now, ARGV[1])
local known = call('EXISTS', KEYS[1], KEYS[2])
if call('EXISTS', KEYS[1]) == 1 then
  call('HSET', KEYS[1], 'cancel_requested', now, 'cancel_reason', ARGV[3])
end
redis.pcall('PUBLISH', ARGV[2], ARGV[3]) -- an ACL may forbid it
local parts = math.max(call('HEXISTS', KEYS[1], 'argus_parts'), call('EXISTS', KEYS[6]))
return {'MARKED', known > 0 and '1' or '0', text(parts)}
