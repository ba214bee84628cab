-- Removes consumers that hold nothing from a group. A consumer that holds entries stays:
-- removing it would remove its pending entries.
--
-- KEYS  1 tasks: task stream
-- ARGV  1 group
--       2… names of consumers
-- Returns the number of consumers removed
local tasks, group, first_consumer, removed = KEYS[1], ARGV[1], 2, 0
for i = first_consumer, #ARGV do
  if #call('XPENDING', tasks, group, '-', '+', '1', ARGV[i]) == 0 then
    call('XGROUP', 'DELCONSUMER', tasks, group, ARGV[i])
    removed = removed + 1
  end
end
return removed
