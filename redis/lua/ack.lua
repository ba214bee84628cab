-- Settles deliveries without a result.
--
-- KEYS  1 task stream   2… for each delivery the mark that its job is active, if jobs
--       are to be unique
-- ARGV  1 group, then for each delivery: entry id, consumer, delivery count
-- Returns {'ACKED', 'NOT_PENDING' or 'LEASE_LOST', …}, one for each delivery
local result = {}
for at = 2, #ARGV, 3 do
  local lost = fence(KEYS[1], ARGV[1], ARGV[at], ARGV[at + 1], ARGV[at + 2])
  if not lost then
    settle(KEYS[1], ARGV[1], ARGV[at])
    local mark = KEYS[#result + 2]
    if mark then redis.call('DEL', mark) end
  end
  result[#result + 1] = lost or 'ACKED'
end
return result
