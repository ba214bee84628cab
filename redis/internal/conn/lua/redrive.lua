-- Puts a dead letter back into its queue as a task that was never tried, and withdraws the
-- result that was recorded when it died, so that the job can have another one. A job that got
-- its result from elsewhere keeps it.
--
-- KEYS  1 state: job state
--       2 events: completion stream
--       3 tasks: task stream
--       4 letters: dead-letter stream
--       5 active: mark that the job is active
--       6 record: record of the job's parts
--       7… the keys of fairness, if any
-- ARGV  1 id: of the dead letter
--       2 fairness: how the queue is fair
--       3 default_group
--       4 active_ttl: TTL of the active mark, ms, '' when jobs need not be unique
--       5 unique_id: for the new mark
--       6 stale: a mark that is known to be out of date, or ''
--       7 record_ttl: TTL of the record of the parts of a job that continues, ms
-- Returns OK, GONE, or ACTIVE, a line break, and the mark of the job's unsettled task
local state, events, stream, letters, active, record = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local id, fair, default_group, active_ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local unique_id, stale, record_ttl = ARGV[5], ARGV[6], ARGV[7]
local letter = call('XRANGE', letters, id, id)[1]
if not letter then return 'GONE' end
if active_ttl ~= '' then
  local mark = call('GET', active)
  if mark and mark ~= stale then return 'ACTIVE\n' .. mark end
end
local copy, meta = {}, {}
for i = 1, #letter[2], 2 do
  local name, value = letter[2][i], letter[2][i + 1]
  if own_fields[name] then meta[name] = value end
  if not own_fields[name] or name == 'argus_for_group' then
    copy[#copy + 1] = name
    copy[#copy + 1] = value
  end
end
local published = tonumber(meta.argus_published_at) or now_ms()
copy[#copy + 1] = 'argus_published_at'
copy[#copy + 1] = text(published)
local status = call('HGET', state, 'status')
local is_terminal = {completed = true, partial = true, failed = true, cancelled = true}

-- is_result is true when the event that was recorded when the task died ended the job, whatever
-- raw peers appended after it. A part's event did not, unless it was the last part.
local function is_result(cursor)
  local event = call('XRANGE', events, cursor, cursor)[1]
  local fields = {}
  for i = 1, #(event and event[2] or {}), 2 do fields[event[2][i]] = event[2][i + 1] end
  local ok, object = pcall(cjson.decode, fields.data or '')
  if not fields.status and ok and type(object) == 'table' then fields = object end
  return is_terminal[fields.status or '']
end

-- reopen_part lets a part report again, also where the job has ended by now: the death of another
-- part may have ended it, and may be redriven next.
local function reopen_part(part)
  for _, key in ipairs({state, record}) do call('HDEL', key, 'argus_part:' .. part) end
  if status and not is_terminal[status] then call('HSET', state, part .. '_status', 'pending') end
end

-- reopen_job makes the job pending again, and its parts what they have reported.
local function reopen_job()
  call('HSET', state, 'status', 'pending')
  call('HDEL', state, 'error_message', 'completed_at')
  for name in string.gmatch(call('HGET', state, 'argus_parts') or '', '%S+') do
    local report = call('HGET', state, 'argus_part:' .. name)
    call('HSET', state, name .. '_status', report and string.match(report, '^%S+') or 'pending')
  end
end

local has_ended = meta.argus_result and is_result(meta.argus_result)
local f = fairness(fair, 7)
call('XLEN', events) -- fails for a key of another type, before anything is written
call('XLEN', stream)
enqueue(f, stream, default_group, copy)
feed(f, stream)
call('XDEL', letters, id)
local _, part = job_of(letter[2])
if meta.argus_result and part ~= '' then reopen_part(part) end
-- The event that ended the job is withdrawn. A part's event stays: watches of the job, which
-- continues, have their cursors on it; the part's next result appends another.
if has_ended and call('XDEL', events, meta.argus_result) == 1 then
  if status then reopen_job() end
  call('PEXPIRE', record, record_ttl)
  if call('XLEN', events) == 0 then call('DEL', events) end
end
if active_ttl ~= '' then new_mark(active, published, unique_id, events, active_ttl) end
return 'OK'
