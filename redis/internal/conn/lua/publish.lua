-- Puts tasks into a queue, all or none: at once or later, once per request id.
--
-- KEYS  1 task stream   2 delayed set   3 set of queues with delayed tasks
--       4 request record   5 the record of the version before   6 groups that were created
--       7 hash: where each group began   8 known queues   then for each task: the job's
--       state if one is created, the record of its parts if it has any, and, if jobs are to be
--       unique, the mark that the job is active and its completion stream; then the keys of
--       fairness, if any
-- ARGV  1 request digests, '' for no request id   2 request window, ms
--       3 delay, ms, '' for none   4 time to run at, ms, '' for none
--       5 queue   6 how many tasks it may hold, '' for any number
--       7 TTL of the marks, ms, '' when jobs need not be unique
--       8 job states' TTL, ms, '' for no initial states
--       9 how the queue is fair
--       10 'named' where tasks are named, or ''
--       11 the default group   12 'ensure' to see to it that the queue is known and has its
--       groups, or 'begin' to do so only where there is no stream; behind it, each behind a line
--       feed, the groups of the settings
--       13 how many queues there may be, '' for any number
--       14 names of the parts that the jobs have, separated by spaces, or ''
--       15 TTL of their record, ms
--       16 number n of a state's arguments, then those n arguments
--       then for each task: if they are named its job id, a unique id and the mark that is
--       known to be out of date or ''; number n of the entry's arguments, then those n
-- Tasks must be named where there is a request id or a delay, or jobs are to be unique.
-- Returns {'OK', entry id, entry id, …}, an id is '' while the task is delayed or in the
--                   backlog
--         {'DUPLICATE', entry id, job id, entry id, job id, …}
--         {'CONFLICT'}  the request id was used with another digest
--         {'EXISTS', which task}  an initial state is given, and the job has a state
--         {'FULL'}      the queue holds too many tasks
--         {'QUEUES'}    the queue would be one too many
--         {'ACTIVE', job id, mark, …}  there are tasks of these jobs
local stream, unique_ttl, state_ttl = KEYS[1], ARGV[7], ARGV[8]
local digest, earlier = split_digests(ARGV[1])
if digest then
  local record = request_record(KEYS[4], KEYS[5])
  if record then
    local lines = {}
    for line in string.gmatch(record, '([^\n]*)\n') do lines[#lines + 1] = line end
    if lines[1] ~= digest and lines[1] ~= earlier then return {'CONFLICT'} end
    call('PEXPIRE', lines[1] == digest and KEYS[4] or KEYS[5], ARGV[2])
    lines[1] = 'DUPLICATE'
    return lines
  end
end

local has_state, has_parts, is_unique = state_ttl ~= '', ARGV[14] ~= '', unique_ttl ~= ''
local state_last, head = 16 + tonumber(ARGV[16]), ARGV[10] == '' and 0 or 3
local first_key = 9 -- of those of single tasks
local f = ARGV[9] ~= '' and fairness(ARGV[9], #KEYS - 5) or nil

-- each calls what it is given with where a task's arguments begin, and with its keys.
local function each(visit)
  local at, key, arguments = state_last + 1, first_key, #ARGV
  while at <= arguments do
    local state, parts, mark, events
    if has_state then
      state, key = KEYS[key], key + 1
    end
    if has_parts then
      parts, key = KEYS[key], key + 1
    end
    if is_unique then
      mark, events, key = KEYS[key], KEYS[key + 1], key + 2
    end
    local last = at + head + tonumber(ARGV[at + head])
    visit(at, last, state, mark, events, parts)
    at = last + 1
  end
end

if is_unique or ARGV[6] ~= '' then
  local active, tasks = {'ACTIVE'}, 0
  each(function(at, _, _, mark_key, events)
    tasks = tasks + 1
    if is_unique then call('XLEN', events) end -- of another type: fail before anything is written
    local mark = is_unique and call('GET', mark_key)
    if mark and mark ~= ARGV[at + 2] then
      active[#active + 1] = ARGV[at]
      active[#active + 1] = mark
    end
  end)
  if #active > 1 then return active end
  if ARGV[6] ~= '' and call('XLEN', stream) + call('ZCARD', KEYS[2]) +
      (f and call('ZCARD', f.backlog) or 0) + tasks > tonumber(ARGV[6]) then
    return {'FULL'}
  end
end
if has_state then
  local step, last = 1 + (has_parts and 1 or 0) + (is_unique and 2 or 0), f and #KEYS - 6 or #KEYS
  if step > 1 or call('EXISTS', unpack(KEYS, first_key, last)) > 0 then
    for i = first_key, last, step do
      if call('EXISTS', KEYS[i]) == 1 then return {'EXISTS', text((i - first_key) / step + 1)} end
    end
  end
end

local now, due = nil, nil
if ARGV[3] ~= '' or ARGV[4] ~= '' or is_unique then now = now_ms() end
if ARGV[3] ~= '' then due = now + tonumber(ARGV[3]) end
if ARGV[4] ~= '' then due = tonumber(ARGV[4]) end
if due and due <= now then due = nil end

-- Of another type: fail before anything is written.
local length = call('XLEN', stream)
if due then
  call('ZCARD', KEYS[2])
  call('SCARD', KEYS[3])
end

if string.find(ARGV[12], '^ensure') or length == 0 and call('EXISTS', stream) == 0 then
  if not may_be_known(KEYS[8], ARGV[5], ARGV[13]) then return {'QUEUES'} end
  if call('EXISTS', stream) == 1 and #call('XINFO', 'GROUPS', stream) == 0 then
    call('XGROUP', 'CREATE', stream, ARGV[11], '0')
  end
  local held = call('SMEMBERS', KEYS[6])
  for name in string.gmatch(ARGV[12], '\n([^\n]*)') do held[#held + 1] = name end
  for _, name in ipairs(held) do
    -- A stream begins with the default group: see add_task.
    if call('EXISTS', stream) == 0 then call('XGROUP', 'CREATE', stream, ARGV[11], '0', 'MKSTREAM') end
    hold_group(stream, KEYS[7], name)
  end
end
local result, record, template = {'OK'}, {digest}, nil
each(function(at, last, state, mark, events, parts)
  local id
  local first = at + head + 1
  if due then
    local entry = {ARGV[at + 1]}
    for i = first, last do entry[#entry + 1] = ARGV[i] end
    entry[#entry + 1] = 'argus_published_at'
    entry[#entry + 1] = text(now)
    call('ZADD', KEYS[2], text(due), pack(entry))
    call('SADD', KEYS[3], ARGV[5])
    id = ''
  elseif f then
    local entry = {unpack(ARGV, first, last)}
    if is_unique then -- the mark names the same time
      entry[#entry + 1] = 'argus_published_at'
      entry[#entry + 1] = text(now)
    end
    id = enqueue(f, stream, ARGV[11], entry)
  else
    id = add_task(stream, ARGV[11], unpack(ARGV, first, last))
  end
  result[#result + 1] = id
  if digest then
    record[#record + 1] = id
    record[#record + 1] = ARGV[at]
  end
  if is_unique then new_mark(mark, id == '' and now or published_at(id, {}), ARGV[at + 1], events, unique_ttl) end
  if has_parts then
    call('DEL', parts) -- of a job of the same id
    call('HSET', parts, 'argus_parts', ARGV[14])
    call('PEXPIRE', parts, ARGV[15])
  end
  if template then -- all states are alike, and a copy has the TTL
    call('COPY', template, state)
  elseif has_state then
    call('HSET', state, unpack(ARGV, 17, state_last))
    call('PEXPIRE', state, state_ttl)
    template = state
  end
end)
if f then feed(f, stream) end
if digest then
  call('SET', KEYS[4], table.concat(record, '\n') .. '\n', 'PX', ARGV[2])
end
return result
