-- Makes a job's state say what its result says. A raw worker may have appended the event and
-- left the state as it was.
--
-- KEYS  1 job state   2 completion stream
-- ARGV  1 cursor of the terminal event   2 its status   3 when the job completed, in epoch
--       seconds, or ''
-- Returns 'HEALED', or 'AS_IT_IS' when there is no state, when it says so already, or when the
--         result was withdrawn
local status = call('HGET', KEYS[1], 'status')
if status == ARGV[2] or not status and call('EXISTS', KEYS[1]) == 0 then return 'AS_IT_IS' end
if #call('XRANGE', KEYS[2], ARGV[1], ARGV[1]) == 0 then return 'AS_IT_IS' end
call('HSET', KEYS[1], 'status', ARGV[2])
if ARGV[3] ~= '' then call('HSETNX', KEYS[1], 'completed_at', ARGV[3]) end
return 'HEALED'
