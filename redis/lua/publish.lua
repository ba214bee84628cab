-- Puts tasks into a queue, all or none: at once or later, once per request id.
--
-- KEYS  1 task stream   2 delayed set   3 set of queues with delayed tasks
--       4 request record   5 job state
--       6… for each task the mark that its job is active, if jobs are to be unique
--       then the keys of fairness, if any
-- ARGV  1 request digest, '' for no request id   2 request window, ms
--       3 delay, ms, '' for none   4 time to run at, ms, '' for none
--       5 queue   6 how many tasks it may hold, '' for any number
--       7 TTL of the marks, ms, '' when jobs need not be unique
--       8 job state's TTL, ms, '' for no initial state
--       9 how the queue is fair
--       10 number n of the state's arguments, then those n arguments
--       then for each task: job id, a unique id, the mark that is known to be out of
--       date or '', number n of the entry's arguments, then those n arguments
-- Returns {'OK' or 'DUPLICATE', entry id, job id, entry id, job id, …}, an entry id is ''
--                   while the task is delayed or in the backlog
--         {'CONFLICT'}  the request id was used with another digest
--         {'EXISTS'}    an initial state is given, and the job has a state
--         {'FULL'}      the queue holds too many tasks
--         {'ACTIVE', job id, mark, …}  there are tasks of these jobs; a mark is the time
--                   of the publish, ms, and a unique id
local digest = ARGV[1]
if digest ~= '' then
  local record = redis.call('GET', KEYS[4])
  if record then
    local lines = {}
    for line in string.gmatch(record, '([^\n]*)\n') do lines[#lines + 1] = line end
    if lines[1] ~= digest then return {'CONFLICT'} end
    lines[1] = 'DUPLICATE'
    return lines
  end
end

local unique_ttl, state_ttl, state_args = ARGV[7], ARGV[8], tonumber(ARGV[10])
local first_task, tasks = 11 + state_args, 0
local f = fairness(ARGV[9], #KEYS - 5)
local at = first_task
local active = {'ACTIVE'}
while at <= #ARGV do
  tasks = tasks + 1
  local mark = unique_ttl ~= '' and redis.call('GET', KEYS[5 + tasks])
  if mark and mark ~= ARGV[at + 2] then
    active[#active + 1] = ARGV[at]
    active[#active + 1] = mark
  end
  at = at + 4 + tonumber(ARGV[at + 3])
end
if #active > 1 then return active end
if ARGV[6] ~= '' and redis.call('XLEN', KEYS[1]) + redis.call('ZCARD', KEYS[2]) +
    (f and redis.call('ZCARD', f.backlog) or 0) + tasks > tonumber(ARGV[6]) then
  return {'FULL'}
end
if state_ttl ~= '' and redis.call('EXISTS', KEYS[5]) == 1 then return {'EXISTS'} end

if f then redis.call('XLEN', KEYS[1]) end

local now, due = now_ms(), nil
if ARGV[3] ~= '' then due = now + tonumber(ARGV[3]) end
if ARGV[4] ~= '' then due = tonumber(ARGV[4]) end
if due and due <= now then due = nil end

if due then -- of another type: fail before anything is written
  redis.call('ZCARD', KEYS[2])
  redis.call('SCARD', KEYS[3])
end

local result = {'OK'}
at, tasks = first_task, 0
while at <= #ARGV do
  local job, unique, n = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 3])
  local id = ''
  if due then
    local entry = {unique}
    for i = at + 4, at + 3 + n do entry[#entry + 1] = ARGV[i] end
    entry[#entry + 1] = 'argus_published_at'
    entry[#entry + 1] = text(now)
    redis.call('ZADD', KEYS[2], text(due), pack(entry))
    redis.call('SADD', KEYS[3], ARGV[5])
  else
    id = enqueue(f, KEYS[1], {unpack(ARGV, at + 4, at + 3 + n)})
  end
  result[#result + 1] = id
  result[#result + 1] = job
  tasks = tasks + 1
  if unique_ttl ~= '' then redis.call('SET', KEYS[5 + tasks], text(now) .. ' ' .. unique, 'PX', unique_ttl) end
  at = at + 4 + n
end

feed(f, KEYS[1])
if state_ttl ~= '' then
  redis.call('HSET', KEYS[5], unpack(ARGV, 11, 10 + state_args))
  redis.call('PEXPIRE', KEYS[5], state_ttl)
end
if digest ~= '' then
  local record = {digest}
  for i = 2, #result do record[i] = result[i] end
  redis.call('SET', KEYS[4], table.concat(record, '\n') .. '\n', 'PX', ARGV[2])
end
return result
