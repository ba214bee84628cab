-- Gives deliveries back that nobody worked on: they are due at once, in their old place,
-- and the delivery does not count as an attempt. The delivery count stays, because it
-- tells the next lease from this one; that it is too high is noted beside it. The consumer that
-- has the entry meanwhile has a name that no worker and no token can have, so no fence lets one
-- pass.
--
-- KEYS  1 task stream   2 uncounted deliveries
-- ARGV  1 group   2 lease, ms   3 how long the note is kept, ms, then for each delivery:
--       entry id, consumer, delivery count
-- Returns the number of deliveries given back
local released = 0
for at = 4, #ARGV, 3 do
  local id, consumer, count = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if not fence(KEYS[1], ARGV[1], id, consumer, count) then
    call('XCLAIM', KEYS[1], ARGV[1], '{argus-released}', '0', id,
      'IDLE', ARGV[2], 'RETRYCOUNT', count, 'JUSTID')
    call('HINCRBY', KEYS[2], ARGV[1] .. ' ' .. id, '1')
    released = released + 1
  end
end
if released > 0 then call('PEXPIRE', KEYS[2], ARGV[3]) end
return released
