-- Shared by the scripts that create consumer groups.

-- max_groups is how many groups a queue may have: every settlement looks at all of them.
local max_groups = 16

local function find_group(groups, name)
  for _, g in ipairs(groups) do
    if g.name == name then return g end
  end
end

-- hold_group ensures that a stream has a group that holds entries from now on, also before its first
-- reader comes. The group begins at 0-1, which tells it from a default group that the first publish
-- created for raw workers: see counting_groups. begins is the hash of where groups began.
local function hold_group(stream, begins, name)
  local group = call('EXISTS', stream) == 1 and find_group(groups_of(stream), name)
  if group and (group.consumers > 0 or group.pending > 0 or group['last-delivered-id'] ~= '0-0') then return end
  if group then call('XGROUP', 'DESTROY', stream, name) end
  call('XGROUP', 'CREATE', stream, name, '0-1', 'MKSTREAM')
  call('HSET', begins, name, '0-0')
end
