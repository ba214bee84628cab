-- Shared by the scripts that make a queue known.

-- may_be_known adds a queue to the known ones; false when there are as many as there may be.
local function may_be_known(known, queue, most)
  if call('SISMEMBER', known, queue) == 1 then return true end
  if most ~= '' and call('SCARD', known) >= tonumber(most) then return false end
  call('SADD', known, queue)
  return true
end
