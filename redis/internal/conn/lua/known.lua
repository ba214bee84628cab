-- Shared by the scripts that register a queue.

-- may_be_known adds a queue to the set of known queues; false when the set has max_queues members
-- already ('' for no limit).
local function may_be_known(known, queue, max_queues)
  if call('SISMEMBER', known, queue) == 1 then return true end
  if max_queues ~= '' and call('SCARD', known) >= tonumber(max_queues) then return false end
  call('SADD', known, queue)
  return true
end
