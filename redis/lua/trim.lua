-- Removes entries from the beginning of a task stream that every group has settled. Such
-- are left by raw peers, who acknowledge without deleting.
--
-- KEYS  1 task stream
-- ARGV  1 how many at most
-- Returns the number of entries removed
local stream, least = KEYS[1], nil
if call('EXISTS', stream) == 0 then return 0 end
for _, g in ipairs(groups_of(stream)) do
  local first = g['last-delivered-id']
  if g.pending > 0 then
    first = call('XPENDING', stream, g.name)[2]
  else
    local ms, seq = string.match(first, '^(%d+)%-(%d+)$')
    if ms and tonumber(seq) < 2 ^ 53 then first = ms .. '-' .. text(tonumber(seq) + 1) end
  end
  if first == '' then first = '0-0' end -- miniredis, before the first read
  if not least or precedes(first, least) then least = first end
end
if not least then return 0 end
local page = call('XRANGE', stream, '-', '(' .. least, 'COUNT', ARGV[1])
if #page == 0 then return 0 end
if #page == tonumber(ARGV[1]) then least = page[#page][1] end
return call('XTRIM', stream, 'MINID', least)
