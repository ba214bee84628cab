-- Removes consumers that hold nothing from a group. One that holds entries stays: its
-- pending entries would go with it.
--
-- KEYS  1 task stream
-- ARGV  1 group, then names of consumers
-- Returns the number of consumers removed
local n = 0
for i = 2, #ARGV do
  if #call('XPENDING', KEYS[1], ARGV[1], '-', '+', '1', ARGV[i]) == 0 then
    call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[i])
    n = n + 1
  end
end
return n
