-- Records completion events, each with its job's state and, under a lease, the settling of
-- its task: one step. A job, or a part of it, that has a result gets no further one.
--
-- KEYS  1 task stream   2 scratch stream   then for each event: job state, completion
--       stream, and if ARGV[3] says so the mark that the job is active
-- ARGV  1 group, '' for workers without a lease   2 how many events a job may have
--       before its terminal one, '' for terminal events   3 'unique' or ''
--       4 the consumer, if all leases are his, or ''   5 the first of their entries
--       6 the last
--       then for each event: entry id, consumer, delivery count, the recording with one
--       result
-- Returns for each event {'OK', cursor}, {'ALREADY', cursor of the result that stands},
--         {'NOT_PENDING'}, {'LEASE_LOST'}, {'FULL'}, {'NO_PART'}, a question, {'AGAIN'}
--         when it was not looked at, or {'ERROR', what Redis says}
local stream, group, leased, stride = KEYS[1], ARGV[1], ARGV[1] ~= '', ARGV[3] == '' and 2 or 3

-- What the consumer holds between the first and the last of the entries is found at once.
local held = {}
if leased and ARGV[4] ~= '' then
  local pending = redis.pcall('XPENDING', stream, group, ARGV[5], ARGV[6], text(2 * #KEYS), ARGV[4])
  for i = 1, #pending do held[pending[i][1]] = pending[i][4] end
end

-- check finds what is against recording r, and writes nothing.
local function check(r)
  local question = examine(r)
  if question then return question end
  if not leased then
    if not r.found and ARGV[2] ~= '' and redis.call('XLEN', r.events) >= tonumber(ARGV[2]) then return {'FULL'} end
    return nil
  end
  if held[r.id] == tonumber(r.count) then return nil end
  local lost = fence(stream, group, r.id, r.consumer, r.count)
  if not lost then return nil end
  if r.found and r.found_mark == r.mark then return {'ALREADY', r.found} end
  return {lost}
end

local replies, recordings, ids, seen, at = {}, {}, {}, {}, 7
for n = 1, (#KEYS - 2) / stride do
  local key = 3 + (n - 1) * stride
  local events = KEYS[key + 1]
  local r = recording(at + 3, 1, KEYS[key], events, KEYS[2], stride == 3 and KEYS[key + 2] or nil)
  r.id, r.consumer, r.count = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  at = r.after
  if seen[events] then
    replies[n] = {'AGAIN'} -- what it finds is not there yet
  else
    seen[events] = true
    local ok, refusal = pcall(check, r)
    if not ok then refusal = {'ERROR', type(refusal) == 'table' and refusal.err or tostring(refusal)} end
    replies[n] = refusal
    if not refusal then
      recordings[n] = r
      ids[#ids + 1] = r.id
    end
  end
end
if leased and #ids > 0 then settle(stream, group, ids) end
for n, r in pairs(recordings) do replies[n] = record(r, 1) end
return replies
