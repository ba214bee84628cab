-- Settles deliveries of one group without a result.
--
-- KEYS  1   stream         task stream
--       2…  mark           for each delivery, if jobs are to be unique: the job's active mark
-- ARGV  1   group
--       2   default_group
--       3…  for each delivery: entry id, consumer, delivery count, job id
-- Returns a verdict for each delivery:
--   ACKED        it is settled
--   NOT_PENDING  it was settled before, or the group is gone
--   LEASE_LOST   the entry is leased to another consumer, or by a later delivery
--   OTHER_JOB    the entry is a task of another job
local stream = KEYS[1]
local group, default_group = ARGV[1], ARGV[2]
local verdicts, ids, marks, published = {}, {}, {}, {}
for at = 3, #ARGV, 4 do
  local id, consumer, count, job = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local mark = KEYS[#verdicts + 2]
  local lost = marks[id] and 'NOT_PENDING' or fence(stream, group, id, consumer, count)
  lost = lost or mark and stray(stream, id, job, '')
  if not lost then
    ids[#ids + 1] = id
    marks[id] = mark or ''
    published[id] = mark and entry_published_at(stream, id)
  end
  verdicts[#verdicts + 1] = lost or 'ACKED'
end
if #ids > 0 then
  for _, id in ipairs(settle(stream, group, ids, default_group)) do
    if marks[id] ~= '' then count_mark(marks[id], -1, published[id]) end
  end
end
return verdicts
