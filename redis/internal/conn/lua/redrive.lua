-- Puts a dead letter back into its queue as a task that was never tried, and withdraws the
-- result that its burial recorded, so that the job can have another. A job that got its
-- result from elsewhere keeps it.
--
-- KEYS  1 job state   2 completion stream   3 task stream   4 dead-letter stream
--       5 active mark   6 record of the job's parts   7… the keys of fairness, if any
-- ARGV  1 id of the dead letter   2 how the queue is fair   3 the default group
--       4 TTL of the active mark, ms, '' when jobs need not be unique   5 a unique id
--       6 a mark that is known to be out of date, or ''   7 TTL of the record of the parts of a
--       job that goes on, ms
-- Returns 'OK', 'GONE', or 'ACTIVE', a line break, and the mark: there is a task of the job
local letter = call('XRANGE', KEYS[4], ARGV[1], ARGV[1])[1]
if not letter then return 'GONE' end
if ARGV[4] ~= '' then
  local mark = call('GET', KEYS[5])
  if mark and mark ~= ARGV[6] then return 'ACTIVE\n' .. mark end
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
local has_ended = meta.argus_result and is_result(meta.argus_result)
local f = fairness(ARGV[2], 7)
call('XLEN', KEYS[2]) -- of another type: fail before anything is written
call('XLEN', KEYS[3])
enqueue(f, KEYS[3], ARGV[3], copy)
feed(f, KEYS[3])
call('XDEL', KEYS[4], ARGV[1])
-- The part can report again, also where the job is over by now: another part's death may have
-- ended it, and is redriven next.
local _, part = job_of(letter[2])
if meta.argus_result and part ~= '' then
  for _, key in ipairs({KEYS[1], KEYS[6]}) do call('HDEL', key, 'argus_part:' .. part) end
  if status and not is_terminal[status] then call('HSET', KEYS[1], part .. '_status', 'pending') end
end
-- The event that ended the job is withdrawn. That of a part stays: watches of the job, which
-- goes on, have their cursors on it; the part's next result appends another.
if has_ended and call('XDEL', KEYS[2], meta.argus_result) == 1 then
  if status then
    call('HSET', KEYS[1], 'status', 'pending')
    call('HDEL', KEYS[1], 'error_message', 'completed_at')
    for name in string.gmatch(call('HGET', KEYS[1], 'argus_parts') or '', '%S+') do
      local report = call('HGET', KEYS[1], 'argus_part:' .. name)
      call('HSET', KEYS[1], name .. '_status', report and string.match(report, '^%S+') or 'pending')
    end
  end
  call('PEXPIRE', KEYS[6], ARGV[7])
  if call('XLEN', KEYS[2]) == 0 then call('DEL', KEYS[2]) end
end
if ARGV[4] ~= '' then new_mark(KEYS[5], published, ARGV[5], KEYS[2], ARGV[4]) end
return 'OK'
