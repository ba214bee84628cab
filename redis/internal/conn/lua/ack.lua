-- Settles deliveries without a result.
--
-- KEYS  1 task stream   2… for each delivery the mark that its job is active, if jobs
--       are to be unique
-- ARGV  1 group   2 the default group, then for each delivery: entry id, consumer,
--       delivery count, job id
-- Returns {'ACKED', 'NOT_PENDING', 'LEASE_LOST' or 'OTHER_JOB', …}, one for each delivery
local result, ids, marks, published = {}, {}, {}, {}
for at = 3, #ARGV, 4 do
  local id, mark = ARGV[at], KEYS[#result + 2]
  local lost = marks[id] and 'NOT_PENDING' or fence(KEYS[1], ARGV[1], id, ARGV[at + 1], ARGV[at + 2])
  lost = lost or mark and stray(KEYS[1], id, ARGV[at + 3], '')
  if not lost then
    ids[#ids + 1] = id
    marks[id] = mark or ''
    published[id] = mark and entry_published_at(KEYS[1], id)
  end
  result[#result + 1] = lost or 'ACKED'
end
if #ids > 0 then
  for _, id in ipairs(settle(KEYS[1], ARGV[1], ids, ARGV[2])) do
    if marks[id] ~= '' then count_mark(marks[id], -1, published[id]) end
  end
end
return result
