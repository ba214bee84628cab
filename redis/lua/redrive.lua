-- Puts a dead letter back into its queue as a task that was never tried, and withdraws the
-- result that its burial recorded, so that the job can have another. A job that got its
-- result from elsewhere keeps it.
--
-- KEYS  1 job state   2 completion stream   3 task stream   4 dead-letter stream
--       5… the keys of fairness, if any
-- ARGV  1 id of the dead letter   2 how the queue is fair   3 the default group
-- Returns 'OK' or 'GONE'
local letter = call('XRANGE', KEYS[4], ARGV[1], ARGV[1])[1]
if not letter then return 'GONE' end
local copy, meta = {}, {}
for i = 1, #letter[2], 2 do
  local name, value = letter[2][i], letter[2][i + 1]
  if own_fields[name] then meta[name] = value end
  if not own_fields[name] or name == 'argus_published_at' or name == 'argus_for_group' then
    copy[#copy + 1] = name
    copy[#copy + 1] = value
  end
end
local status = call('HGET', KEYS[1], 'status')
local is_terminal = {completed = true, partial = true, failed = true, cancelled = true}

-- is_result is true when the event that the burial recorded ended the job, whatever raw
-- peers appended behind it. A part's event did not, unless it was the last part.
local function is_result(id)
  local event = call('XRANGE', KEYS[2], id, id)[1]
  local fields = {}
  for i = 1, #(event and event[2] or {}), 2 do fields[event[2][i]] = event[2][i + 1] end
  local ok, object = pcall(cjson.decode, fields.data or '')
  if not fields.status and ok and type(object) == 'table' then fields = object end
  return is_terminal[fields.status or '']
end
local is_own = meta.argus_result and (not is_terminal[status or ''] or is_result(meta.argus_result))
local f = fairness(ARGV[2], 5)
call('XLEN', KEYS[3])
enqueue(f, KEYS[3], ARGV[3], copy)
feed(f, KEYS[3])
call('XDEL', KEYS[4], ARGV[1])
if is_own and call('XDEL', KEYS[2], meta.argus_result) == 1 then
  local _, part = job_of(letter[2])
  if part ~= '' and call('HDEL', KEYS[1], 'argus_part:' .. part) == 1 then
    call('HSET', KEYS[1], part .. '_status', 'pending')
  end
  if status then
    call('HSET', KEYS[1], 'status', 'pending')
    call('HDEL', KEYS[1], 'error_message', 'completed_at')
  end
  if call('XLEN', KEYS[2]) == 0 then call('DEL', KEYS[2]) end
end
return 'OK'
