-- Publishes tasks, each with the state of its job and independently of the others: several calls share
-- one run. It does without the prelude.
--
-- KEYS  1   stream  task stream
--       2…  state   for each task: the job's state
-- ARGV  for each task: TTL of the state, ms; number n of the state's words, n words field, value, …;
--       number n of the entry's words, n words field, value, …
-- Returns for each task its entry id, or a verdict:
--   EXISTS     the job has a state; nothing was written for the task
--   NO_STREAM  the queue has no stream; nothing was written at all
local call, ARGV, KEYS = redis.call, ARGV, KEYS
local stream, at, results = KEYS[1], 1, {}
-- Of another type: fail before anything is written.
if call('XLEN', stream) == 0 and call('EXISTS', stream) == 0 then
  for i = 2, #KEYS do results[i - 1] = 'NO_STREAM' end
  return results
end
for i = 2, #KEYS do
  local state, state_ttl = KEYS[i], ARGV[at]
  local first_field = at + 2
  local last_field = at + 1 + tonumber(ARGV[at + 1])
  local first_word = last_field + 2
  local last_word = last_field + 1 + tonumber(ARGV[last_field + 1])
  if call('EXISTS', state) == 1 then
    results[i - 1] = 'EXISTS'
  else
    results[i - 1] = call('XADD', stream, '*', unpack(ARGV, first_word, last_word))
    call('HSET', state, unpack(ARGV, first_field, last_field))
    call('PEXPIRE', state, state_ttl)
  end
  at = last_word + 1
end
return results
