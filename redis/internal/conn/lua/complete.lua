-- Records completion events, each with its job's state and, under a lease, the settling of
-- its task, in one step. A job, or a part of it, that has a result gets no other one.
--
-- KEYS  1 tasks: task stream
--       2 scratch: scratch stream
--       then for each result:
--         state: job state
--         events: completion stream
--         scan: the examined position of the events
--         active: mark that the job is active, if unique is set
--         record: record of the job's parts, if parts is set
-- ARGV  1 group: '' for workers without a lease
--       2 max_events: how many events a job may have before its terminal one, '' for terminal
--         events
--       3 max_event_bytes: how many bytes of them
--       4 unique: 'unique' or ''
--       5 consumer: the consumer of all leases, '' if there are several
--       6 first: the first of their entries
--       7 last: the last of their entries
--       8 state_ttl: TTL of the states, ms
--       9 events_ttl: TTL of the events, ms
--       10 default_group
--       11 parts: 'parts' or ''
--       then for each result:
--         id: entry id
--         consumer
--         count: delivery count
--         the recording, with one result (record.lua)
-- Returns for each result two elements: verdict, detail
--       OK: cursor of the event
--       ALREADY: cursor of the job's result, which stays
--       NOT_PENDING, LEASE_LOST, OTHER_JOB, OTHER_PART, FULL, NO_PART: ''
--       ERROR: the message of Redis
--       ASK: a question, as a list (record.lua)
local stream, scratch = KEYS[1], KEYS[2]
local group, max_events, max_event_bytes, has_marks = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] ~= ''
local consumer, first, last = ARGV[5], ARGV[6], ARGV[7]
local state_ttl, events_ttl, default_group, has_parts = ARGV[8], ARGV[9], ARGV[10], ARGV[11] ~= ''
local first_result, leased, stride = 12, group ~= '', 3 + (has_marks and 1 or 0) + (has_parts and 1 or 0)

-- What the consumer holds between the first and the last of the entries, by one command.
local held = {}
if leased and consumer ~= '' then
  local pending = redis.pcall('XPENDING', stream, group, first, last, text(2 * #KEYS), consumer)
  for i = 1, #pending do held[pending[i][1]] = pending[i][4] end
end

local r, ids, marks = {scratch = scratch, state_ttl = state_ttl, events_ttl = events_ttl}, {}, {}
local published, settled = {}, {}

-- lost_lease returns why the lease of r is not held, or nil.
local function lost_lease()
  if held[r.id] == tonumber(r.count) then return nil end
  return settled[r.id] and 'NOT_PENDING' or fence(stream, group, r.id, r.consumer, r.count)
end

-- has_room is true when one more event fits before the terminal one.
local function has_room()
  local bytes = r.bytes
  for i = r.event_first, r.event_last do bytes = bytes + #ARGV[i] end
  return r.entries < max_events and bytes <= max_event_bytes
end

-- finish records r, unless a check fails. All checks come before the first write; the state is
-- written first: if its key holds another type, nothing else is written. The events of a job
-- that has none are not examined, unless the result is a part's.
local function finish()
  local wrong = leased and stray(stream, r.id, r.job, r.part)
  if wrong then return wrong, '' end
  if not r.is_first or r.part ~= '' then
    local question = examine(r)
    if question and question[2] then return 'ASK', question end
    if question then return question[1], '' end
  end
  local lost = leased and lost_lease()
  if lost and r.found and r.found_mark == r.mark then return 'ALREADY', r.found end
  if lost then return lost, '' end
  if not leased and not r.found and max_events and not has_room() then return 'FULL', '' end
  local word, cursor = record(r, 1)
  ids[#ids + 1], marks[r.id] = r.id, r.active
  published[r.id] = leased and r.active and entry_published_at(stream, r.id)
  held[r.id], settled[r.id] = nil, true
  return word, cursor
end

local events = {}
for key = 4, #KEYS, stride do events[#events + 1] = KEYS[key] end
local none_known, seen = call('EXISTS', unpack(events)) == 0, {}
call('DEL', r.scratch) -- after any write a full Redis lets the script continue, so that it can drain
local replies, at = {}, first_result
for i = 1, #events do
  local key = 3 + (i - 1) * stride
  r.state, r.events, r.scan = KEYS[key], events[i], KEYS[key + 2]
  r.active, r.record = has_marks and KEYS[key + 3] or nil, has_parts and KEYS[key + stride - 1] or nil
  r.id, r.consumer, r.count = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  recording(r, at + 3, 1)
  at, r.is_first = r.after, none_known and not seen[r.events]
  seen[r.events] = true
  local ok, word, more = pcall(finish)
  if not ok then
    more = type(word) == 'table' and word.err or tostring(word)
    word = 'ERROR'
  end
  replies[2 * i - 1], replies[2 * i] = word, more
end
if leased and #ids > 0 then
  for _, id in ipairs(settle(stream, group, ids, default_group)) do
    if marks[id] then count_mark(marks[id], -1, published[id]) end
  end
end
return replies
