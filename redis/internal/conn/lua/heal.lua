-- Makes the status of a job's state that of the job's result. A raw worker may have appended
-- the event and left the state unchanged.
--
-- KEYS  1 state: job state
--       2 events: completion stream
-- ARGV  1 cursor: of the terminal event
--       2 status: of the terminal event
--       3 completed_at: when the job completed, in epoch seconds, or ''
-- Returns HEALED, or AS_IT_IS when there is no state, when its status is right, or when the
--         result was withdrawn
local state, events = KEYS[1], KEYS[2]
local cursor, result, completed_at = ARGV[1], ARGV[2], ARGV[3]
local status = call('HGET', state, 'status')
if status == result or not status and call('EXISTS', state) == 0 then return 'AS_IT_IS' end
if #call('XRANGE', events, cursor, cursor) == 0 then return 'AS_IT_IS' end
call('HSET', state, 'status', result)
if completed_at ~= '' then call('HSETNX', state, 'completed_at', completed_at) end
return 'HEALED'
