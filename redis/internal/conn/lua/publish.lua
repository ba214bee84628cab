-- Publishes tasks, all or none: now or later, once per request id.
--
-- KEYS  1   stream        task stream
--       2   delayed       delayed tasks of the queue
--       3   queues        the set of queues with delayed tasks
--       4   request       record of the request id
--       5   old_request   its record of the version before
--       6   created       groups that were created
--       7   begins        hash: where each group began
--       8   known         set of known queues
--       9…  for each task: the job's state, if one is created; the record of its parts, if it has
--           any; the job's active mark and its completion stream, if jobs are to be unique
--       then the six keys of fairness, if any: fair.lua
-- ARGV  1   digests       digests of the request, '' for no request id: requests.lua
--       2   request_ttl   TTL of the record of the request id, ms
--       3   delay         ms, '' for none
--       4   run_at        time to run at, ms, '' for none
--       5   queue
--       6   max_length    how many tasks the queue may hold, '' for no limit
--       7   mark_ttl      TTL of the active marks, ms, '' if jobs need not be unique
--       8   state_ttl     TTL of the states, ms, '' to create none
--       9   fairness      settings of fairness, or ''
--       10  named         'named' if tasks are named below, or ''. They must be named with a request id
--                         or a delay, and if jobs are to be unique
--       11  default_group
--       12  ensure        'ensure': register the queue and create missing groups; 'begin': only if there
--                         is no stream. Then the groups of the settings, a line feed before each
--       13  max_queues    how many queues there may be, '' for no limit
--       14  parts         names of the parts of the jobs, separated by spaces, or ''
--       15  parts_ttl     TTL of the records of the parts, ms
--       16  words         number of words of the state that follow: field, value, …
--       then for each task: if named its job id, a unique id, and an outdated mark of the job or '';
--       number n of the entry's words, n words field, value, …
-- Returns {verdict, …}:
--   {OK, entry id, …}                 for each task, '' while it is delayed or in the backlog
--   {DUPLICATE, entry id, job id, …}  the tasks were published before with this request id
--   {CONFLICT}                        the request id was used with another request
--   {EXISTS, n}                       a state is to be created, and the job of task n has one
--   {FULL}                            the queue would hold more than max_length tasks
--   {QUEUES}                          there are max_queues other queues
--   {ACTIVE, job id, mark, …}         these jobs have unsettled tasks
local stream, delayed, queues, request, old_request, created, begins, known = unpack(KEYS, 1, 8)
local digests, request_ttl, delay, run_at, queue, max_length, mark_ttl, state_ttl = unpack(ARGV, 1, 8)
local fair_settings, named, default_group, ensure, max_queues, part_names, parts_ttl = unpack(ARGV, 9, 15)
local first_key, first_field = 9, 17
local last_field = first_field - 1 + tonumber(ARGV[first_field - 1])

local digest, earlier = split_digests(digests)
if digest then
  local record = request_record(request, old_request)
  if record then
    local lines = {}
    for line in string.gmatch(record, '([^\n]*)\n') do lines[#lines + 1] = line end
    if lines[1] ~= digest and lines[1] ~= earlier then return {'CONFLICT'} end
    call('PEXPIRE', lines[1] == digest and request or old_request, request_ttl)
    lines[1] = 'DUPLICATE'
    return lines
  end
end

local has_state, has_parts, is_unique = state_ttl ~= '', part_names ~= '', mark_ttl ~= ''
local names = named == '' and 0 or 3 -- words before an entry
local f = fair_settings ~= '' and fairness(fair_settings, #KEYS - 5) or nil

-- each calls visit for each task with the index of its first argument and of its last, and its keys.
local function each(visit)
  local at, key, arguments = last_field + 1, first_key, #ARGV
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
    local last = at + names + tonumber(ARGV[at + names])
    visit(at, last, state, mark, events, parts)
    at = last + 1
  end
end

if is_unique or max_length ~= '' then
  local active, tasks = {'ACTIVE'}, 0
  each(function(at, _, _, mark_key, events)
    local job, outdated = ARGV[at], ARGV[at + 2]
    tasks = tasks + 1
    if is_unique then call('XLEN', events) end -- of another type: fail before anything is written
    local mark = is_unique and call('GET', mark_key)
    if mark and mark ~= outdated then
      active[#active + 1] = job
      active[#active + 1] = mark
    end
  end)
  if #active > 1 then return active end
  if max_length ~= '' and call('XLEN', stream) + call('ZCARD', delayed) +
      (f and call('ZCARD', f.backlog) or 0) + tasks > tonumber(max_length) then
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
if delay ~= '' or run_at ~= '' or is_unique then now = now_ms() end
if delay ~= '' then due = now + tonumber(delay) end
if run_at ~= '' then due = tonumber(run_at) end
if due and due <= now then due = nil end

-- Of another type: fail before anything is written.
local length = call('XLEN', stream)
if due then
  call('ZCARD', delayed)
  call('SCARD', queues)
end

if string.find(ensure, '^ensure') or length == 0 and call('EXISTS', stream) == 0 then
  if not may_be_known(known, queue, max_queues) then return {'QUEUES'} end
  if call('EXISTS', stream) == 1 and #call('XINFO', 'GROUPS', stream) == 0 then
    call('XGROUP', 'CREATE', stream, default_group, '0')
  end
  local held = call('SMEMBERS', created)
  for name in string.gmatch(ensure, '\n([^\n]*)') do held[#held + 1] = name end
  for _, name in ipairs(held) do
    -- A stream begins with the default group: see add_task.
    if call('EXISTS', stream) == 0 then call('XGROUP', 'CREATE', stream, default_group, '0', 'MKSTREAM') end
    hold_group(stream, begins, name)
  end
end

-- add adds the task whose entry is ARGV[first..last] and returns its entry id, '' if it has none yet.
local function add(first, last, unique)
  if due then
    local entry = {unique}
    for i = first, last do entry[#entry + 1] = ARGV[i] end
    entry[#entry + 1] = 'argus_published_at'
    entry[#entry + 1] = text(now)
    call('ZADD', delayed, text(due), pack(entry))
    call('SADD', queues, queue)
    return ''
  elseif f then
    local entry = {unpack(ARGV, first, last)}
    if is_unique then -- the mark names the same time
      entry[#entry + 1] = 'argus_published_at'
      entry[#entry + 1] = text(now)
    end
    return enqueue(f, stream, default_group, entry)
  end
  return add_task(stream, default_group, unpack(ARGV, first, last))
end

local result, record, template = {'OK'}, {digest}, nil
each(function(at, last, state, mark, events, parts)
  local job, unique = ARGV[at], ARGV[at + 1] -- if the tasks are named
  local id = add(at + names + 1, last, unique)
  result[#result + 1] = id
  if digest then
    record[#record + 1] = id
    record[#record + 1] = job
  end
  if is_unique then new_mark(mark, id == '' and now or published_at(id, {}), unique, events, mark_ttl) end
  if has_parts then
    call('DEL', parts) -- of an earlier job of the same id
    call('HSET', parts, 'argus_parts', part_names)
    call('PEXPIRE', parts, parts_ttl)
  end
  if template then -- all states are alike, and a copy has the TTL
    call('COPY', template, state)
  elseif has_state then
    call('HSET', state, unpack(ARGV, first_field, last_field))
    call('PEXPIRE', state, state_ttl)
    template = state
  end
end)
if f then feed(f, stream) end
if digest then
  call('SET', request, table.concat(record, '\n') .. '\n', 'PX', request_ttl)
end
return result
