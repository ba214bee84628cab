-- Records a completion event, with the job's state and, under a lease, the settling
-- of its task: one step. A job, or a part of it, that has a result gets no further one.
--
-- KEYS  1 job state   2 completion stream   3 scratch stream   4 active mark   5 task stream
-- ARGV  1 group, '' for a worker without a lease   2 entry id   3 consumer
--       4 delivery count
--       5 how many events the job may have before its terminal one, '' for a
--         terminal event
--       6 the recording, with one result
-- Returns {'OK', cursor}, {'ALREADY', cursor of the result that stands},
--         {'NOT_PENDING'}, {'LEASE_LOST'}, {'FULL'}, {'NO_PART'} or a question
local stream, group, id, leased = KEYS[5], ARGV[1], ARGV[2], ARGV[1] ~= ''
local r = recording(6)
local question = examine(r)
if question then return question end
if leased then
  local lost = fence(stream, group, id, ARGV[3], ARGV[4])
  if lost then
    if r.found and r.found_mark == r.mark then return {'ALREADY', r.found} end
    return {lost}
  end
  settle(stream, group, id)
elseif not r.found and ARGV[5] ~= '' and redis.call('XLEN', r.events) >= tonumber(ARGV[5]) then
  return {'FULL'}
end
return record(r, 1)
