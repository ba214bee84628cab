-- Gives deliveries back that nobody got: they are due at once, in their old place,
-- and the delivery does not count as an attempt.
--
-- KEYS  1 task stream
-- ARGV  1 group   2 lease, ms, then for each delivery: entry id, consumer,
--       delivery count
-- Returns the number of deliveries given back
local released = 0
for at = 3, #ARGV, 3 do
  local id, consumer, count = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if not fence(KEYS[1], ARGV[1], id, consumer, count) then
    redis.call('XCLAIM', KEYS[1], ARGV[1], consumer, '0', id,
      'IDLE', ARGV[2], 'RETRYCOUNT', text(tonumber(count) - 1), 'JUSTID')
    released = released + 1
  end
end
return released
