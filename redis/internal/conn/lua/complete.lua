-- Records completion events, each with its job's state and, under a lease, the settling of
-- its task: one step. A job, or a part of it, that has a result gets no further one.
--
-- KEYS  1 task stream   2 scratch stream   then for each event: job state, completion
--       stream, how far that was examined, if ARGV[4] says so the mark that the job is
--       active, and if ARGV[11] says so the record of its parts
-- ARGV  1 group, '' for workers without a lease   2 how many events a job may have
--       before its terminal one, '' for terminal events   3 how many bytes of them
--       4 'unique' or ''   5 the consumer, if it is the same for all leases, or ''
--       6 the first of their entries   7 the last   8 TTL of the states, ms
--       9 TTL of the events, ms   10 the default group   11 'parts' or ''
--       then for each event: entry id, consumer, delivery count, the recording with one
--       result
-- Returns for each event two words: 'OK', cursor; 'ALREADY', cursor of the result that
--         stands; or, beside '', 'NOT_PENDING', 'LEASE_LOST', 'OTHER_JOB', 'OTHER_PART',
--         'FULL', 'NO_PART'; 'ERROR', what Redis says; 'ASK', a question as a list
local stream, group, leased, stride = KEYS[1], ARGV[1], ARGV[1] ~= '', 3
local has_marks, has_parts = ARGV[4] ~= '', ARGV[11] ~= ''
if has_marks then stride = stride + 1 end
if has_parts then stride = stride + 1 end

-- What the consumer holds between the first and the last of the entries is found at once.
local held = {}
if leased and ARGV[5] ~= '' then
  local pending = redis.pcall('XPENDING', stream, group, ARGV[6], ARGV[7], text(2 * #KEYS), ARGV[5])
  for i = 1, #pending do held[pending[i][1]] = pending[i][4] end
end

local r, ids, marks = {scratch = KEYS[2], state_ttl = ARGV[8], events_ttl = ARGV[9]}, {}, {}
local published, settled = {}, {}

-- finish records r, unless something is against it. Of a job without events only a part's
-- result has to be looked at. What is against it is found before anything is written; the
-- state is written first: if its key holds another type, nothing else is.
local function finish()
  local wrong = leased and stray(stream, r.id, r.job, r.part)
  if wrong then return wrong, '' end
  if not r.is_first or r.part ~= '' then
    local question = examine(r)
    if question and question[2] then return 'ASK', question end
    if question then return question[1], '' end
  end
  if leased then
    if held[r.id] ~= tonumber(r.count) then
      local lost = settled[r.id] and 'NOT_PENDING' or fence(stream, group, r.id, r.consumer, r.count)
      if lost and r.found and r.found_mark == r.mark then return 'ALREADY', r.found end
      if lost then return lost, '' end
    end
  elseif not r.found and ARGV[2] ~= '' then
    local bytes = r.bytes
    for i = r.event_first, r.event_last do bytes = bytes + #ARGV[i] end
    if r.entries >= tonumber(ARGV[2]) or bytes > tonumber(ARGV[3]) then return 'FULL', '' end
  end
  local word, cursor = record(r, 1)
  ids[#ids + 1], marks[r.id] = r.id, r.active
  published[r.id] = leased and r.active and entry_published_at(stream, r.id)
  held[r.id], settled[r.id] = nil, true
  return word, cursor
end

local events = {}
for key = 4, #KEYS, stride do events[#events + 1] = KEYS[key] end
local none_known, seen = call('EXISTS', unpack(events)) == 0, {}
call('DEL', r.scratch) -- after any write a full Redis lets the script go on, so that it can drain
local replies, at = {}, 12
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
  for _, id in ipairs(settle(stream, group, ids, ARGV[10])) do
    if marks[id] then count_mark(marks[id], -1, published[id]) end
  end
end
return replies
