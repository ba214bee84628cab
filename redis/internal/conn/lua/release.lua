-- Releases deliveries that no worker has tried: they are due at once, keep their place, and the
-- delivery does not count as an attempt. The delivery count stays, because it tells the next lease from
-- this one; how many deliveries not to count is kept beside it. Meanwhile the entry belongs to a
-- consumer whose name no worker and no token can have, so no fence passes.
--
-- KEYS  1   stream         task stream
--       2   uncounted      hash: deliveries that don't count
-- ARGV  1   group
--       2   lease          ms
--       3   uncounted_ttl  TTL of the hash, ms
--       4…  for each delivery: entry id, consumer, delivery count
-- Returns the number of deliveries that were released; the leases of the others were lost
local stream, uncounted = KEYS[1], KEYS[2]
local group, lease, uncounted_ttl = ARGV[1], ARGV[2], ARGV[3]
local released = 0
for at = 4, #ARGV, 3 do
  local id, consumer, count = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if not fence(stream, group, id, consumer, count) then
    call('XCLAIM', stream, group, '{argus-released}', '0', id, 'IDLE', lease, 'RETRYCOUNT', count, 'JUSTID')
    call('HINCRBY', uncounted, group .. ' ' .. id, '1')
    released = released + 1
  end
end
if released > 0 then call('PEXPIRE', uncounted, uncounted_ttl) end
return released
