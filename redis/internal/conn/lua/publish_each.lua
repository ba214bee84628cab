-- Puts tasks into a queue, each with the state of its job, each for itself: what concurrent
-- calls ask for.
--
-- KEYS  1 task stream, then for each task the job's state
-- ARGV  for each task: TTL of the state, ms, number n of the state's arguments, those n
--       arguments, number n of the entry's arguments, those n arguments
-- Returns for each task its entry's id, '' when the job has a state, 'NO_STREAM' when the queue
--         has no stream: nothing was written
local call, ARGV, KEYS = redis.call, ARGV, KEYS
local stream, at, ids = KEYS[1], 1, {}
-- Of another type: fail before anything is written.
if call('XLEN', stream) == 0 and call('EXISTS', stream) == 0 then
  for i = 2, #KEYS do ids[i - 1] = 'NO_STREAM' end
  return ids
end
for i = 2, #KEYS do
  local state = KEYS[i]
  local first = at + 2
  local last = at + 1 + tonumber(ARGV[at + 1])
  local entry = last + 2
  local after = entry + tonumber(ARGV[last + 1])
  if call('EXISTS', state) == 1 then
    ids[i - 1] = ''
  else
    ids[i - 1] = call('XADD', stream, '*', unpack(ARGV, entry, after - 1))
    call('HSET', state, unpack(ARGV, first, last))
    call('PEXPIRE', state, ARGV[at])
  end
  at = after
end
return ids
