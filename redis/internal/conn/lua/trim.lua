-- Removes entries from the beginning of a task stream that every group has settled. Such
-- are left by raw peers, which acknowledge without deleting.
--
-- An entry that lies before the beginning of every group was given to no consumer, as far as
-- Redis can tell: a raw worker created its group at '$', behind it. Where a group began is
-- noted when it is first seen, by the last entry that was delivered until then.
--
-- KEYS  1 task stream   2 hash: where each group began
-- ARGV  1 how many at most   2 the default group   3 TTL of the hash, ms
-- Returns {number of entries removed, how many of them no consumer is known to have been given,
--         id of the last of these or ''}
local stream, begins = KEYS[1], KEYS[2]
if call('EXISTS', stream) == 0 then return {'0', '0', ''} end
local least, seen_from, present = nil, nil, {}
for _, g in ipairs(counting_groups(stream, ARGV[2])) do
  local first = g['last-delivered-id']
  -- The default group is created at the beginning, by the first publish.
  local begin = g.name == ARGV[2] and '0-0' or call('HGET', begins, g.name)
  if not begin then
    begin = first
    call('HSET', begins, g.name, begin)
  end
  present[g.name] = true
  if not seen_from or precedes(begin, seen_from) then seen_from = begin end
  if g.pending > 0 then
    first = call('XPENDING', stream, g.name)[2]
  else
    local ms, seq = string.match(first, '^(%d+)%-(%d+)$')
    if ms and tonumber(seq) < 2 ^ 53 then first = ms .. '-' .. text(tonumber(seq) + 1) end
  end
  if not least or precedes(first, least) then least = first end
end
for _, name in ipairs(call('HKEYS', begins)) do
  if not present[name] then call('HDEL', begins, name) end
end
call('PEXPIRE', begins, ARGV[3])
if not least then return {'0', '0', ''} end
local page = call('XRANGE', stream, '-', '(' .. least, 'COUNT', ARGV[1])
if #page == 0 then return {'0', '0', ''} end
local unseen = 0
while unseen < #page and not precedes(seen_from, page[unseen + 1][1]) do unseen = unseen + 1 end
if #page == tonumber(ARGV[1]) then
  least = page[#page][1]
  unseen = math.min(unseen, #page - 1)
end
return {text(call('XTRIM', stream, 'MINID', least)), text(unseen), unseen > 0 and page[unseen][1] or ''}
