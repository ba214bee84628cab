-- Removes entries that every group has settled from the beginning of a task stream. Raw peers
-- leave them there: they acknowledge without deleting.
--
-- An entry that lies before the beginning of every group was delivered to no consumer, as far as
-- Redis can know: a raw worker created its group at '$', behind the entry. Where a group began
-- is noted when the group is first seen: at the last entry that was delivered until then.
--
-- KEYS  1 tasks: task stream
--       2 begins: hash, where each group began
-- ARGV  1 limit: how many entries to remove at most
--       2 default_group
--       3 begins_ttl: TTL of the hash, ms
-- Returns {removed: number of entries removed, unseen: how many of them were delivered to no
--         known consumer, last_unseen: id of the last of these, or ''}
local stream, begins, limit, default_group, begins_ttl = KEYS[1], KEYS[2], tonumber(ARGV[1]), ARGV[2], ARGV[3]
if call('EXISTS', stream) == 0 then return {'0', '0', ''} end

-- begin_of is where a group began. The default group is created at the beginning of the stream,
-- by the first publish.
local function begin_of(g)
  if g.name == default_group then return '0-0' end
  local begin = call('HGET', begins, g.name)
  if not begin then
    begin = g['last-delivered-id']
    call('HSET', begins, g.name, begin)
  end
  return begin
end

-- needed_from is the first entry that a group still needs.
local function needed_from(g)
  if g.pending > 0 then return call('XPENDING', stream, g.name)[2] end
  local last = g['last-delivered-id']
  local ms, seq = string.match(last, '^(%d+)%-(%d+)$')
  if ms and tonumber(seq) < 2 ^ 53 then return ms .. '-' .. text(tonumber(seq) + 1) end
  return last
end

local least, seen_from, present = nil, nil, {}
for _, g in ipairs(counting_groups(stream, default_group)) do
  local begin, from = begin_of(g), needed_from(g)
  present[g.name] = true
  if not seen_from or precedes(begin, seen_from) then seen_from = begin end
  if not least or precedes(from, least) then least = from end
end
for _, name in ipairs(call('HKEYS', begins)) do
  if not present[name] then call('HDEL', begins, name) end
end
call('PEXPIRE', begins, begins_ttl)
if not least then return {'0', '0', ''} end
local page = call('XRANGE', stream, '-', '(' .. least, 'COUNT', limit)
if #page == 0 then return {'0', '0', ''} end
local unseen = 0
while unseen < #page and not precedes(seen_from, page[unseen + 1][1]) do unseen = unseen + 1 end
if #page == limit then -- MINID keeps the entry itself
  least = page[#page][1]
  unseen = math.min(unseen, #page - 1)
end
return {text(call('XTRIM', stream, 'MINID', least)), text(unseen), unseen > 0 and page[unseen][1] or ''}
