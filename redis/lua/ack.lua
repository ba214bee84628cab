-- Settles deliveries without a result.
--
-- KEYS  1 task stream   2… for each delivery the mark that its job is active, if jobs
--       are to be unique
-- ARGV  1 group   2 the default group, then for each delivery: entry id, consumer, delivery count
-- Returns {'ACKED', 'NOT_PENDING' or 'LEASE_LOST', …}, one for each delivery
local result, ids, marks, seen = {}, {}, {}, {}
for at = 3, #ARGV, 3 do
  local id = ARGV[at]
  local lost = seen[id] and 'NOT_PENDING' or fence(KEYS[1], ARGV[1], id, ARGV[at + 1], ARGV[at + 2])
  if not lost then
    seen[id] = true
    ids[#ids + 1] = id
    local mark = KEYS[#result + 2]
    if mark then marks[#marks + 1] = mark end
  end
  result[#result + 1] = lost or 'ACKED'
end
if #ids > 0 then settle(KEYS[1], ARGV[1], ids, ARGV[2]) end
if #marks > 0 then call('DEL', unpack(marks)) end
return result
