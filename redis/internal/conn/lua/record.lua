-- Shared by the scripts that record a job's result: it is put between the prelude and
-- each of them.
--
-- A result is recorded once. The result of the whole job is its first terminal event; that
-- event is the record, and the job's state follows it. A job with parts (the state's field
-- argus_parts, names separated by spaces) gets one result of each part (the field
-- argus_part:<name>: status, cursor of its event, mark), and the last one ends the job. The
-- same fields are in the record of the parts, a hash of its own, which outlives the state: the
-- state may expire, or be deleted, while parts have still to report.
--
-- Redis can't encode a result, or decode every JSON event as the service does. So a script
-- may return a question instead of writing anything, and is called again with the answer:
--   {JUDGE, event id, data, …}  a raw peer wrote these events in JSON: what are their statuses?
--   {PARTS, 'trivy=completed clamav='}  the results were encoded for other statuses of the parts
--   {AGAIN, position}  there are more events than one call examines; position is '' when the
--     call made no progress
--
-- The first terminal event is the result, by any writer and whatever follows it. Raw peers
-- may append any number of events of any size, so one call examines a bounded number of bytes
-- and entries. A position ('id entries bytes': up to this entry none is terminal) is kept
-- in a key of its own, once examining that much again would cost more than reading the key.
-- It only saves time: without it the examination begins at the first event.

local is_terminal = {completed = true, partial = true, failed = true, cancelled = true}

-- counted reads a list in ARGV that is preceded by its length; it returns the indexes of its
-- first and last word, and of what follows.
local function counted(at)
  local n = tonumber(ARGV[at])
  return at + 1, at + n, at + n + 1
end

-- recording reads what may be recorded, n possible results, from ARGV[at]:
--   job: job id
--   statuses: counted pairs of event id and status, the answers to JUDGE
--   mark: of the lease, for the event, or ''
--   part: or ''
--   seen: the statuses of the parts that the results were encoded for
--   then for each possible result:
--     flags: 'final' or '', and ' large' if it may make the state too large
--     part_status: the part's status
--     counted fields of the state
--     counted fields of the event, or -1 when these are the job id and those of the state
-- The caller has set in r: state, events, scan and scratch, the keys of the job's state, its
-- completion stream, its examined position and the scratch stream; record, the key of the record
-- of its parts, if it may have any; state_ttl and events_ttl, in ms. r.after is the index of what
-- follows in ARGV. r can be used for one recording after the other.
local function recording(r, at, n)
  r.job, r.found, r.found_mark, r.status, r.judged, r.is_first = ARGV[at], nil, nil, nil, nil, false
  r.entries, r.bytes, r.is_late = 0, 0, false
  local first, last
  first, last, at = counted(at + 1)
  if last >= first then
    r.judged = {}
    for i = first, last, 2 do r.judged[ARGV[i]] = ARGV[i + 1] end
  end
  r.mark, r.part, r.seen = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  at = at + 3
  for i = 1, n do
    local b = i == 1 and r or {}
    local word = ARGV[at]
    b.final, b.is_large = word == 'final' or word == 'final large', word == ' large' or word == 'final large'
    b.part_status = ARGV[at + 1]
    b.state_first, b.state_last, at = counted(at + 2)
    b.event_first, b.event_last, at = counted(at)
    if b.event_last < b.event_first - 1 then at = b.event_first end
    r[i] = b
  end
  r.after = at
  return r
end

-- part_field reads a field about the job's parts.
local function part_field(r, name)
  return r.record and call('HGET', r.record, name) or call('HGET', r.state, name)
end

-- examine_part finds the result of the recording's part; it returns a question, {'NO_PART'} or
-- nil. For a job without parts, a part's result is the whole job's.
local function examine_part(r)
  local names = r.parts
  if not names then
    r.part = ''
    return nil
  end
  local report = part_field(r, 'argus_part:' .. r.part)
  if report then
    local _
    _, r.found, r.found_mark = string.match(report, '^(%S+) (%S+) (.*)$')
    return nil
  end
  local parts, is_named = {}, false
  for name in string.gmatch(names, '%S+') do
    local done = part_field(r, 'argus_part:' .. name) or ''
    parts[#parts + 1] = name .. '=' .. string.match(done, '^%S*')
    is_named = is_named or name == r.part
  end
  if r.found then
    r.is_late = is_named
    return nil
  end
  if not is_named then return {'NO_PART'} end
  local seen = table.concat(parts, ' ')
  if seen ~= r.seen then return {'PARTS', seen} end
  return nil
end

-- What one script call may examine, of all jobs together. Entries are read one at a time: a
-- page of them would have no bound in bytes.
local entries_left, bytes_left = 500, 2 ^ 20

-- examined_position reads the position of a job: id, number of entries and of bytes up to it.
local function examined_position(r)
  local at, entries, bytes = string.match(call('GET', r.scan) or '', '^(%S+) (%d+) (%d+)$')
  -- A stream with fewer entries is another one: the position means nothing.
  if not at or call('XLEN', r.events) < tonumber(entries) then return '', 0, 0 end
  return at, tonumber(entries), tonumber(bytes)
end

-- next_event reads the entry after an id, as a table, and counts it; nil when there is none.
local function next_event(r, at)
  local entry = call('XRANGE', r.events, at == '' and '-' or '(' .. at, '+', 'COUNT', '1')[1]
  if not entry then return nil end
  local event = {id = entry[1], fields = {}, bytes = 0}
  for i = 1, #entry[2], 2 do
    event.fields[entry[2][i]] = entry[2][i + 1]
    event.bytes = event.bytes + #entry[2][i] + #entry[2][i + 1]
  end
  entries_left, bytes_left = entries_left - 1, bytes_left - event.bytes
  return event
end

-- find looks for the result among the events: r.found is its cursor, r.found_mark the mark of its
-- lease. Without a result, r.entries and r.bytes are those of all events. It returns a question,
-- or nil.
local function find(r)
  local judge, at, is_cut = {'JUDGE'}, nil, false
  at, r.entries, r.bytes = examined_position(r)
  local before = {at, r.entries, r.bytes}
  local known = before -- the last position before the first event in question
  while not r.found do
    is_cut = entries_left <= 0 or bytes_left <= 0
    if is_cut then break end
    local event = next_event(r, at)
    if not event then break end
    local status = event.fields.status or r.judged and r.judged[event.id]
    if not status and event.fields.data then
      judge[#judge + 1] = event.id
      judge[#judge + 1] = event.fields.data
    end
    if is_terminal[status or ''] then
      r.found, r.status, r.found_mark = event.id, status, event.fields.argus_lease
    else
      at, r.entries, r.bytes = event.id, r.entries + 1, r.bytes + event.bytes
      if #judge == 1 then known = {at, r.entries, r.bytes} end
    end
  end
  r.is_first = r.entries == 0 and not r.found and not is_cut
  if known[2] - before[2] >= 8 or known[3] - before[3] >= 2 ^ 15 or is_cut and known[2] > before[2] then
    call('DEL', r.scratch) -- after any write a full Redis lets the script continue
    call('SET', r.scan, known[1] .. ' ' .. text(known[2]) .. ' ' .. text(known[3]), 'PX', r.events_ttl)
  end
  if #judge > 1 then return judge end
  if is_cut then return {'AGAIN', known[2] > before[2] and known[1] or ''} end
  return nil
end

-- examine finds the recorded result, if there is one. It returns a question for the caller,
-- {'NO_PART'} or nil. It writes nothing but the position.
local function examine(r)
  local question = find(r)
  if question then return question end
  call('HLEN', r.state) -- fails for a key of another type, before anything is written
  if r.part == '' then return nil end
  r.parts = part_field(r, 'argus_parts')
  return examine_part(r)
end

-- max_copied is up to how many bytes of events a stream is copied: a larger one is mostly full.
local max_copied = 2 ^ 14

-- append adds an event. A new stream takes 4 KB because Redis expects it to grow; a copy of
-- it takes what it needs, so a small stream is replaced by a copy with the final event.
local function append(r, b)
  local key, cursor = r.is_first and r.scratch or r.events, nil
  if b.event_last >= b.event_first - 1 then
    cursor = call('XADD', key, '*', unpack(ARGV, b.event_first, b.event_last))
  elseif r.mark == '' then
    cursor = call('XADD', key, '*', 'job_id', r.job, unpack(ARGV, b.state_first, b.state_last))
  else
    cursor = call('XADD', key, '*', 'job_id', r.job, 'argus_lease', r.mark, unpack(ARGV, b.state_first, b.state_last))
  end
  if r.is_first then
    call('COPY', key, r.events, 'REPLACE')
    call('DEL', key)
  elseif b.final and r.bytes < max_copied and r.entries < 100 then
    call('COPY', key, r.scratch, 'REPLACE')
    call('RENAME', r.scratch, key)
  end
  return cursor
end

-- small_part returns those of a result's fields in ARGV[first..last] that the service itself
-- writes.
local function small_part(r, first, last)
  local own, words = {status = true, completed_at = true, error_message = true, [r.part .. '_status'] = true}, {}
  for i = first, last, 2 do
    if own[ARGV[i]] then
      words[#words + 1] = ARGV[i]
      words[#words + 1] = ARGV[i + 1]
    end
  end
  return words
end

-- How long the record of the parts of an unfinished job is kept at least, in ms.
local unfinished_ttl = 90 * 24 * 3600 * 1000

-- keep_parts writes a part's report into the record of the parts. A missing record is created
-- from the state. When the job has ended, the record expires with its events.
local function keep_parts(r, report, is_over)
  if call('EXISTS', r.record) == 0 then
    call('HSET', r.record, 'argus_parts', r.parts)
    for name in string.gmatch(r.parts, '%S+') do
      local done = call('HGET', r.state, 'argus_part:' .. name)
      if done then call('HSET', r.record, 'argus_part:' .. name, done) end
    end
  end
  call('HSET', r.record, 'argus_part:' .. r.part, report)
  call('PEXPIRE', r.record, is_over and r.events_ttl or text(math.max(unfinished_ttl, tonumber(r.state_ttl))))
end

-- reported writes a part's report, whose event has the cursor, into the state and the record.
local function reported(r, b, cursor, is_over)
  local report = b.part_status .. ' ' .. cursor .. ' ' .. r.mark
  if call('EXISTS', r.state) == 1 then call('HSET', r.state, 'argus_part:' .. r.part, report) end
  keep_parts(r, report, is_over)
end

-- record records the nth of the possible results, unless there is a recorded one. It returns
-- 'OK', cursor or 'ALREADY', cursor of the recorded one.
local function record(r, n)
  if r.found then
    -- The state may have been written since, by a second run of the job.
    if r.status and not is_terminal[call('HGET', r.state, 'status') or 'failed'] then
      call('HSET', r.state, 'status', r.status)
    end
    if call('PTTL', r.events) == -1 then call('PEXPIRE', r.events, r.events_ttl) end
    -- A part's report on a job that has ended counts if the job's result is withdrawn.
    if r.is_late then reported(r, r[n], r.found, true) end
    return 'ALREADY', r.found
  end
  local b = r[n]
  if b.state_last >= b.state_first then
    local new
    if b.is_large and not limits().fits(r.state, call('HLEN', r.state), b.state_first, b.state_last) then
      -- The event carries all fields, and is never refused.
      new = call('HSET', r.state, unpack(small_part(r, b.state_first, b.state_last)))
    else
      new = call('HSET', r.state, unpack(ARGV, b.state_first, b.state_last))
    end
    -- When all fields are new, the state may be new, too.
    if 2 * new > b.state_last - b.state_first and call('PTTL', r.state) == -1 then
      call('PEXPIRE', r.state, r.state_ttl)
    end
  end
  local cursor = append(r, b)
  call('PEXPIRE', r.events, r.events_ttl)
  if r.part ~= '' and b.state_last >= b.state_first then
    reported(r, b, cursor, b.final)
  end
  return 'OK', cursor
end
