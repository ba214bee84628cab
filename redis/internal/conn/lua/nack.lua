-- Ends a lease without a result of its worker: requeues the task at the end of its queue, now or later,
-- or moves it to the dead letters, by which its job fails. A task whose job was cancelled is dropped
-- instead, and its job ends as cancelled.
--
-- A requeued task carries its attempts, its failures and the time of its first publication. If the
-- stream has other groups, the new entry is for this group only.
--
-- KEYS  1   state          job state
--       2   events         completion stream
--       3   scratch        scratch stream
--       4   mark           active mark
--       5   scan           how far the events were examined
--       6   parts          record of the parts
--       7   stream         task stream
--       8   delayed        delayed tasks of the queue
--       9   queues         the set of queues with delayed tasks
--       10  dead_letters   dead-letter stream
--       11  cancelled      cancelled jobs
--       12  uncounted      hash: deliveries that don't count
--       13… the keys of fairness, if any: fair.lua
-- ARGV  1   group
--       2   id             entry id
--       3   consumer
--       4   count          delivery count
--       5   action         'retry'; 'dead'; 'lost': to the dead letters, no worker got this delivery;
--                          'cancelled': drop the task
--       6   delay          ms, '' for the queue's back-off
--       7   reason
--       8   queue
--       9   job            job id, '' for an entry that is not a task
--       10  dead_ttl       how long dead letters are kept, ms
--       11  unique         unique id, for the member of the delayed set
--       12  max_failures   how many failures a task may have
--       13  min_backoff    ms
--       14  max_backoff    ms
--       15  random         a number from 0 to 1
--       16  cause          cause of death for 'dead' and 'lost'
--       17  fairness       settings of fairness, or ''
--       18  default_group
--       19  mark_ttl       TTL of the active mark, ms, '' if jobs need not be unique
--       20  state_ttl      ms
--       21  events_ttl     ms
--       22… the recording with two results, failed and cancelled: record.lua
-- Returns {verdict, …}, or a question: record.lua
--   {RETRY, ms until the task is due}
--   {DEAD}         it is among the dead letters
--   {CANCELLED}    its job was cancelled, it is dropped
--   {GONE}         the entry was deleted
--   {NOT_PENDING}, {LEASE_LOST}, {OTHER_JOB}  as for ack
local state, events, scratch, mark_key, scan, parts = unpack(KEYS, 1, 6)
local stream, delayed, queues, dead_letters, cancelled, uncounted = unpack(KEYS, 7, 12)
local group, id, consumer, count, action, delay_ms, reason, queue, job, dead_ttl = unpack(ARGV, 1, 10)
local unique, max_failures, min_backoff, max_backoff, random, cause = unpack(ARGV, 11, 16)
local fair_settings, default_group, mark_ttl, state_ttl, events_ttl = unpack(ARGV, 17, 21)

local lost = fence(stream, group, id, consumer, count)
if lost then return {lost} end
local entry = call('XRANGE', stream, id, id)[1]
local mark = mark_ttl ~= '' and mark_key or nil
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
local attempts = (tonumber(meta.argus_attempt) or 0) + tonumber(count) - (call('HGET', uncounted, group .. ' ' .. id) or 0)
local failures = tonumber(meta.argus_failures) or 0
local published = published_at(id, entry[2])
if action == 'retry' then failures = failures + 1 end
if action == 'lost' then
  action, attempts = 'dead', attempts - 1
end
if job ~= '' and action ~= 'cancelled' and call('EXISTS', cancelled) == 1 then
  local at = call('ZSCORE', cancelled, job)
  if at and tonumber(at) >= published then action = 'cancelled' end
end
if action == 'retry' and failures >= tonumber(max_failures) then
  action, cause = 'dead', 'max_attempts'
end

-- A task that ends here has its result recorded; a task that is a part of its job, the part's result.
-- For a part that the job does not have, nothing is recorded.
local r
if action ~= 'retry' and job ~= '' then
  r = recording({state = state, events = events, scratch = scratch, scan = scan, record = parts,
    state_ttl = state_ttl, events_ttl = events_ttl}, 22, 2)
  local _, part = job_of(entry[2])
  if part ~= r.part then return {'PART', part} end
  local question = examine(r)
  if question and question[1] == 'NO_PART' then
    r = nil
  elseif question then
    return question
  end
end

-- settle_task settles the entry, of which there are so many new ones: 0 or 1. The active mark counts
-- one entry less if this one was deleted, and one more for a new one.
local function settle_task(new)
  local deleted = settle(stream, group, {id}, default_group)
  if mark and #deleted ~= new then count_mark(mark, new - #deleted, published) end
  if mark and new > 0 then call('PEXPIRE', mark, mark_ttl) end
end

if action == 'cancelled' then
  settle_task(0)
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
if reason ~= '' then add('argus_reason', reason) end
if meta.argus_for_group or #counting_groups(stream, default_group) > 1 then add('argus_for_group', group) end

local now = now_ms()
if action == 'dead' then
  add('argus_cause', cause)
  add('argus_source_id', id)
  add('argus_group', group)
  add('argus_dead_at', text(now))
  call('XLEN', dead_letters) -- of another type: fail before anything is written
  settle_task(0)
  if r then
    local recorded, cursor = record(r, 1)
    if recorded == 'OK' then add('argus_result', cursor) end
  end
  dead_letter(dead_letters, dead_ttl, copy)
  return {'DEAD'}
end

local delay = tonumber(delay_ms)
if not delay then
  -- Half of the back-off is random, so that tasks that failed together don't return together.
  local most = math.min(tonumber(max_backoff), tonumber(min_backoff) * 2 ^ math.min(failures - 1, 50))
  delay = math.floor(most / 2 + most / 2 * tonumber(random))
end
if delay > 0 then
  table.insert(copy, 1, unique)
  call('ZCARD', delayed)
  call('SCARD', queues)
  settle_task(1)
  call('ZADD', delayed, text(now + delay), pack(copy))
  call('SADD', queues, queue)
else
  settle_task(1)
  local f = fairness(fair_settings, 13)
  enqueue(f, stream, group, copy)
  feed(f, stream)
end
return {'RETRY', text(delay)}
