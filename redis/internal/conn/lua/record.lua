-- Shared by the scripts that record a job's result: it is put between the prelude and
-- each of them.
--
-- A result is recorded once. Of the whole job it is the terminal event; that event is
-- the record, and the job's state follows it. A job with parts (the state's field
-- argus_parts, names separated by spaces) gets one result of each part (the field
-- argus_part:<name>: status, cursor of its event, mark), and the last one is the job's. The same
-- fields are in the record of the parts, a hash of its own, which outlives the state: that may
-- expire, or be deleted, while parts are still to report.
--
-- What a result looks like is the caller's to say, who knows the encoding and reads
-- JSON. So a script may give a question back instead of writing anything, and is called
-- again with the answer: {'JUDGE', event id, data, …} when a raw peer wrote events in
-- JSON, {'PARTS', 'trivy=completed clamav='} when the results were made for another
-- state of the parts, {'AGAIN', position} when there are more events than one call
-- examines; the position is '' when it did not move.
--
-- The first terminal event is the result, by anyone and whatever follows it. Raw peers may
-- append any number of events of any size, so one call examines a bounded part of them. How
-- far that came is kept beside the events, in a key of its own ('id entries bytes': up to
-- this entry none is terminal), once walking there again would take longer than to look it
-- up. The key saves time and nothing else: without it the walk begins at the first event.

local is_terminal = {completed = true, partial = true, failed = true, cancelled = true}

-- counted finds a list in ARGV that stands behind its length: first, last, and what
-- follows it.
local function counted(at)
  local n = tonumber(ARGV[at])
  return at + 1, at + n, at + n + 1
end

-- recording reads what may be recorded, n possible results, from ARGV[at]:
--   job id   judgements: counted pairs of event id and status, '' for none
--   mark of the lease in the event, or ''   part, or ''
--   the parts as the results were made for them
--   for each possible result: 'final' or '', and ' large' if it may make the state too
--   large; the part's status, counted fields of the state, counted fields of the event, or -1
--   when it has the job id and those of the state
-- The caller has put these into r: state, events, scan and scratch, the keys of the job's
-- state, its completion stream, how far that was examined, and the scratch stream; record, the
-- key of the record of its parts, if it may have any; state_ttl and events_ttl, in ms. r.after
-- is where the arguments go on. r can be used for one recording after the other.
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

-- examine_part finds the result of the recording's part, or what is still to be asked. A
-- part of a job that has no parts is the whole job.
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

-- What one script call examines, of all jobs together. Entries are read one at a time: they
-- come whole, and a page of them would have no bound in bytes.
local entries_left, bytes_left = 500, 2 ^ 20

-- find looks for the result among the events: r.found is its cursor, r.found_mark its
-- lease's mark. Without one, r.entries and r.bytes are those of all events. It returns a
-- question, or nil.
local function find(r)
  local judge = {'JUDGE'}
  local at, entries, bytes = string.match(call('GET', r.scan) or '', '^(%S+) (%d+) (%d+)$')
  -- When the stream has fewer entries it is another one, and the position means nothing.
  if not at or call('XLEN', r.events) < tonumber(entries) then at, entries, bytes = '', 0, 0 end
  r.entries, r.bytes = tonumber(entries), tonumber(bytes)
  local before = {at, r.entries, r.bytes}
  local known, is_cut = before, false -- the last position before what is to be judged
  while not r.found do
    is_cut = entries_left <= 0 or bytes_left <= 0
    if is_cut then break end
    local entry = call('XRANGE', r.events, at == '' and '-' or '(' .. at, '+', 'COUNT', '1')[1]
    if not entry then break end
    local fields, bytes = {}, 0
    for i = 1, #entry[2], 2 do
      fields[entry[2][i]] = entry[2][i + 1]
      bytes = bytes + #entry[2][i] + #entry[2][i + 1]
    end
    entries_left, bytes_left = entries_left - 1, bytes_left - bytes
    local word = fields.status or r.judged and r.judged[entry[1]]
    if not word and fields.data then
      judge[#judge + 1] = entry[1]
      judge[#judge + 1] = fields.data
    end
    if is_terminal[word or ''] then
      r.found, r.status, r.found_mark = entry[1], word, fields.argus_lease
    else
      at, r.entries, r.bytes = entry[1], r.entries + 1, r.bytes + bytes
      if #judge == 1 then known = {at, r.entries, r.bytes} end
    end
  end
  r.is_first = r.entries == 0 and not r.found and not is_cut
  if known[2] - before[2] >= 8 or known[3] - before[3] >= 2 ^ 15 or is_cut and known[2] > before[2] then
    call('DEL', r.scratch) -- after any write a full Redis lets the script go on
    call('SET', r.scan, known[1] .. ' ' .. text(known[2]) .. ' ' .. text(known[3]), 'PX', r.events_ttl)
  end
  if #judge > 1 then return judge end
  if is_cut then return {'AGAIN', known[2] > before[2] and known[1] or ''} end
  return nil
end

-- examine finds the result that stands. It returns a question for the caller, or nil. It
-- writes nothing but how far it came.
local function examine(r)
  local question = find(r)
  if question then return question end
  call('HLEN', r.state) -- of another type: fails before anything is written
  if r.part == '' then return nil end
  r.parts = part_field(r, 'argus_parts')
  return examine_part(r)
end

-- copied is up to how many bytes of events a stream is copied: a larger one is mostly full.
local copied = 2 ^ 14

-- append adds an event. A new stream takes 4 KB because Redis expects it to grow; a copy
-- of it takes what it needs, so the final event makes a small stream a copy.
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
  elseif b.final and r.bytes < copied and r.entries < 100 then
    call('COPY', key, r.scratch, 'REPLACE')
    call('RENAME', r.scratch, key)
  end
  return cursor
end

-- small_part are those of a result's fields in ARGV[first..last] that this package writes.
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

-- A job that is not over may take long: so long at least the record of its parts is kept.
local unfinished_ttl = 90 * 24 * 3600 * 1000

-- keep_parts writes what a part has reported into the record of the parts. A record that is
-- not there yet takes what the state has. When the job is over it goes with its events.
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

-- reported notes what a part has reported, by an event, in the state and in the record.
local function reported(r, b, cursor, is_over)
  local report = b.part_status .. ' ' .. cursor .. ' ' .. r.mark
  if call('EXISTS', r.state) == 1 then call('HSET', r.state, 'argus_part:' .. r.part, report) end
  keep_parts(r, report, is_over)
end

-- record records the nth of the possible results, unless one stands already. It returns
-- 'OK', cursor or 'ALREADY', cursor of the one that stands.
local function record(r, n)
  if r.found then
    -- Someone may have written a state since, of a second run of the job.
    if r.status and not is_terminal[call('HGET', r.state, 'status') or 'failed'] then
      call('HSET', r.state, 'status', r.status)
    end
    if call('PTTL', r.events) == -1 then call('PEXPIRE', r.events, r.events_ttl) end
    -- What a part reports of a job that is over counts if the job's result is withdrawn.
    if r.is_late then reported(r, r[n], r.found, true) end
    return 'ALREADY', r.found
  end
  local b = r[n]
  if b.state_last >= b.state_first then
    local new
    if b.is_large and not limits().fits(r.state, call('HLEN', r.state), b.state_first, b.state_last) then
      -- The event has its fields, and it is never refused.
      new = call('HSET', r.state, unpack(small_part(r, b.state_first, b.state_last)))
    else
      new = call('HSET', r.state, unpack(ARGV, b.state_first, b.state_last))
    end
    -- When all fields are new the state may be, too.
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
