-- Records completion events, each with its job's state and, under a lease, the settling of
-- its task: one step. A job, or a part of it, that has a result gets no further one.
--
-- KEYS  1 task stream   2 scratch stream   then for each event: job state, completion
--       stream, and if ARGV[3] says so the mark that the job is active
-- ARGV  1 group, '' for workers without a lease   2 how many events a job may have
--       before its terminal one, '' for terminal events   3 'unique' or ''
--       4 the consumer, if all leases are his, or ''   5 the first of their entries
--       6 the last   7 TTL of the states, ms   8 TTL of the events, ms
--       then for each event: entry id, consumer, delivery count, the recording with one
--       result
-- Returns for each event two words: 'OK', cursor; 'ALREADY', cursor of the result that
--         stands; or, beside '', 'NOT_PENDING', 'LEASE_LOST', 'FULL', 'NO_PART', or 'AGAIN'
--         when it was not looked at; 'ERROR', what Redis says; 'ASK', a question as a list
local stream, group, leased, stride = KEYS[1], ARGV[1], ARGV[1] ~= '', ARGV[3] == '' and 2 or 3

-- What the consumer holds between the first and the last of the entries is found at once.
local held = {}
if leased and ARGV[4] ~= '' then
  local pending = redis.pcall('XPENDING', stream, group, ARGV[5], ARGV[6], text(2 * #KEYS), ARGV[4])
  for i = 1, #pending do held[pending[i][1]] = pending[i][4] end
end

-- check finds what is against recording r, and writes nothing. Of a job without events only
-- a part's result has to be looked at.
local function check(r)
  if not r.is_first or r.part ~= '' then
    local question = examine(r)
    if question and question[2] then return 'ASK', question end
    if question then return question[1] end
  end
  if not leased then
    if not r.found and ARGV[2] ~= '' and redis.call('XLEN', r.events) >= tonumber(ARGV[2]) then return 'FULL' end
    return nil
  end
  if held[r.id] == tonumber(r.count) then return nil end
  local lost = fence(stream, group, r.id, r.consumer, r.count)
  if lost and r.found and r.found_mark == r.mark then return 'ALREADY', r.found end
  return lost
end

local all, events, at = {}, {}, 9
for key = 3, #KEYS, stride do
  local r = recording(at + 3, 1, KEYS[key], KEYS[key + 1], KEYS[2], stride == 3 and KEYS[key + 2] or nil, ARGV[7], ARGV[8])
  r.id, r.consumer, r.count = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  at = r.after
  all[#all + 1] = r
  events[#all] = r.events
end
local none_known, seen = redis.call('EXISTS', unpack(events)) == 0, {}
for i = 1, #all do
  local r = all[i]
  r.is_first = none_known
  if seen[r.events] then
    r.word = 'AGAIN' -- what it finds is not there yet
  else
    seen[r.events] = true
    local ok, word, more = pcall(check, r)
    if not ok then
      more = type(word) == 'table' and word.err or tostring(word)
      word = 'ERROR'
    end
    r.word, r.more = word, more
  end
end

-- The state is written first: if its key holds another type, nothing of this result is.
-- After any write a full Redis lets the script go on, so that it can drain.
redis.call('DEL', KEYS[2])
local ids, replies = {}, {}
for i = 1, #all do
  local r = all[i]
  if not r.word then
    local ok, recorded = pcall(record, r, 1)
    if ok then
      r.word, r.more = recorded[1], recorded[2]
      ids[#ids + 1] = r.id
    else
      r.word, r.more = 'ERROR', type(recorded) == 'table' and recorded.err or tostring(recorded)
    end
  end
  replies[2 * i - 1], replies[2 * i] = r.word, r.more or ''
end
if leased and #ids > 0 then settle(stream, group, ids) end
return replies
