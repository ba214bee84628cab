-- Takes a task from its worker without a result of his: to the end of the queue, now or
-- later, or to the dead letters, which ends its job as failed. A task whose job was
-- cancelled is dropped instead, and its job ends as cancelled.
--
-- The new entry carries the attempts, the failures and the time of the first publish.
-- Where the stream has other groups it is for this group only.
--
-- KEYS  1 job state   2 completion stream   3 scratch stream   4 active mark
--       5 how far the events were examined   6 record of the parts   7 task stream
--       8 delayed set   9 set of queues with delayed tasks   10 dead-letter stream
--       11 cancelled jobs   12 uncounted deliveries   13… the keys of fairness, if any
-- ARGV  1 group   2 entry id   3 consumer   4 delivery count
--       5 'retry'; 'dead'; 'lost': to the dead letters, this delivery reached nobody;
--         'cancelled': drop it
--       6 delay, ms, '' for the queue's back-off   7 reason   8 queue   9 job id, ''
--         when the entry is no task   10 how long dead letters are kept, ms
--       11 a unique id   12 how many failures a task may have
--       13 shortest back-off, ms   14 longest back-off, ms   15 random number, 0 to 1
--       16 the cause of death for 'dead' and 'lost'
--       17 how the queue is fair   18 the default group   19 TTL of the active mark, ms, ''
--         when jobs need not be unique   20 TTL of the state, ms   21 TTL of the events, ms
--       22 the recording, with two results: failed and cancelled
-- Returns {'RETRY', ms until it is due}, {'DEAD'}, {'CANCELLED'}, {'GONE'} when the entry
--         was deleted, {'NOT_PENDING'}, {'LEASE_LOST'}, {'OTHER_JOB'} or a question
local stream, group, id, action = KEYS[7], ARGV[1], ARGV[2], ARGV[5]
local job, cause = ARGV[9], ARGV[16]
local lost = fence(stream, group, id, ARGV[3], ARGV[4])
if lost then return {lost} end
local entry = call('XRANGE', stream, id, id)[1]
local mark = ARGV[19] ~= '' and KEYS[4] or nil
if not entry then
  call('XACK', stream, group, id)
  if mark then count_mark(mark, -1, published_at(id, {})) end
  return {'GONE'}
end
if job ~= '' then
  local wrong = stray(stream, id, job, '')
  if wrong then return {wrong} end
end

local copy, meta = {}, {}
for i = 1, #entry[2], 2 do
  local name, value = entry[2][i], entry[2][i + 1]
  if own_fields[name] and name ~= 'argus_packed' then
    meta[name] = value
  else
    copy[#copy + 1] = name
    copy[#copy + 1] = value
  end
end
local uncounted = group .. ' ' .. id
local attempts = (tonumber(meta.argus_attempt) or 0) + tonumber(ARGV[4]) - (call('HGET', KEYS[12], uncounted) or 0)
local failures = tonumber(meta.argus_failures) or 0
local published = published_at(id, entry[2])
if action == 'retry' then failures = failures + 1 end
if action == 'lost' then
  action, attempts = 'dead', attempts - 1
end
if job ~= '' and action ~= 'cancelled' and call('EXISTS', KEYS[11]) == 1 then
  local at = call('ZSCORE', KEYS[11], job)
  if at and tonumber(at) >= published then action = 'cancelled' end
end
if action == 'retry' and failures >= tonumber(ARGV[12]) then
  action, cause = 'dead', 'max_attempts'
end

-- A task that ends here has its result recorded. For a task that is a part of its job
-- that is the part's; of a part that the job doesn't have, nothing.
local r
if action ~= 'retry' and job ~= '' then
  r = recording({state = KEYS[1], events = KEYS[2], scratch = KEYS[3], scan = KEYS[5], record = KEYS[6],
    state_ttl = ARGV[20], events_ttl = ARGV[21]}, 22, 2)
  local _, part = job_of(entry[2])
  if part ~= r.part then return {'PART', part} end
  local question = examine(r)
  if question and question[1] == 'NO_PART' then
    r = nil
  elseif question then
    return question
  end
end
-- take takes the task out of the group. The mark of its job stands for one entry less, if the
-- entry is gone, and for one more, if there is a new one.
local function take(new)
  local gone = settle(stream, group, {id}, ARGV[18])
  if mark and #gone ~= new then count_mark(mark, new - #gone, published) end
  if mark and new > 0 then call('PEXPIRE', mark, ARGV[19]) end
end

if action == 'cancelled' then
  take(0)
  if r then record(r, 2) end
  return {'CANCELLED'}
end

-- More than Lua can pass in one call: keep it whole in one field.
if #copy > 7000 then copy = {'argus_packed', pack(copy)} end
local function add(name, value)
  copy[#copy + 1] = name
  copy[#copy + 1] = value
end
add('argus_attempt', text(attempts))
add('argus_failures', text(failures))
add('argus_published_at', text(published))
if ARGV[7] ~= '' then add('argus_reason', ARGV[7]) end
if meta.argus_for_group or #counting_groups(stream, ARGV[18]) > 1 then add('argus_for_group', group) end

local now = now_ms()
if action == 'dead' then
  add('argus_cause', cause)
  add('argus_source_id', id)
  add('argus_group', group)
  add('argus_dead_at', text(now))
  call('XLEN', KEYS[10]) -- of another type: fail before anything is written
  take(0)
  if r then
    local recorded, cursor = record(r, 1)
    if recorded == 'OK' then add('argus_result', cursor) end
  end
  bury(KEYS[10], ARGV[10], copy)
  return {'DEAD'}
end

local delay = tonumber(ARGV[6])
if not delay then
  -- Half of the back-off is random, so that tasks that failed together don't come back
  -- together.
  local most = math.min(tonumber(ARGV[14]), tonumber(ARGV[13]) * 2 ^ math.min(failures - 1, 50))
  delay = math.floor(most / 2 + most / 2 * tonumber(ARGV[15]))
end
if delay > 0 then
  table.insert(copy, 1, ARGV[11])
  call('ZCARD', KEYS[8])
  call('SCARD', KEYS[9])
  take(1)
  call('ZADD', KEYS[8], text(now + delay), pack(copy))
  call('SADD', KEYS[9], ARGV[8])
else
  take(1)
  local f = fairness(ARGV[17], 13)
  enqueue(f, stream, group, copy)
  feed(f, stream)
end
return {'RETRY', text(delay)}
