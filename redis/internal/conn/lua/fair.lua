-- Shared by the scripts that add tasks to a queue. A queue that is fair between organizations keeps
-- its tasks in a backlog. They move into the stream, from which workers read, only as workers ask for
-- them, and the organizations take turns. This is start-time fair queueing (Goyal, Vin, Cheng 1996):
-- each organization has a tag, the one with the lowest tag is next, and moving one task raises its tag
-- by 1/weight.
--
-- The keys have fixed names, so that a script can declare them:
--   backlog  sorted set, all scores 0: '<length>:<organization> <sequence><packed entry>'
--   ready    sorted set: organizations with a backlog, by tag
--   parked   sorted set: organizations that have reached their limit of tasks in flight, by tag
--   tags     sorted set: tags of organizations without a backlog, while they still matter
--   held     hash: 'v' the virtual time, 'seq' the last sequence number; for organizations with a
--            limit '<entry id>' → organization, 'n:<organization>' → number of tasks in flight
--   queues   the set of queues with tasks to be moved

-- fairness returns the settings and keys of a fair queue, nil for another queue. The keys are
-- KEYS[first] to KEYS[first + 5]; settings is '' or JSON with ahead, limit, weights, limits, queue and
-- group (the default group).
local function fairness(settings, first)
  if settings == '' then return nil end
  local f = cjson.decode(settings)
  f.backlog, f.ready, f.parked, f.tags, f.held, f.queues = unpack(KEYS, first, first + 5)
  return f
end

local function tag(key, org)
  return tonumber(call('ZSCORE', key, org) or 0)
end

local function virtual_time(f)
  return tonumber(call('HGET', f.held, 'v') or 0)
end

-- score formats a number without loss of precision.
local function score(n)
  return string.format('%.17g', n)
end

local function limit_of(f, org)
  return f.limits[org] or f.limit
end

-- head is what the backlog's members of an organization begin with, and no others.
local function head(org)
  return #org .. ':' .. org .. ' '
end

local function backlog_of(f, org)
  return call('ZLEXCOUNT', f.backlog, '[' .. head(org), '(' .. #org .. ':' .. org .. '!')
end

-- organization_of is the organization of a task.
local function organization_of(fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'organization_id' then return fields[i + 1] end
  end
  local _, _, org = job_of(fields)
  return org
end

-- enqueue adds a task at the end of its queue and returns its entry id, '' if it is in the backlog. It
-- may append to fields.
local function enqueue(f, stream, group, fields)
  if not f then return add_task(stream, group, unpack(fields)) end
  local org, is_published = organization_of(fields), false
  local sequence = call('HINCRBY', f.held, 'seq', '1')
  for i = 1, #fields, 2 do is_published = is_published or fields[i] == 'argus_published_at' end
  if not is_published then
    fields[#fields + 1] = 'argus_published_at'
    fields[#fields + 1] = text(now_ms())
  end
  call('ZADD', f.backlog, '0', pack(fields, head(org) .. string.format('%014.0f', sequence)))
  -- Once per call and organization is enough for the rest.
  f.waiting = f.waiting or {}
  if f.waiting[org] then return '' end
  f.waiting[org] = true
  if not call('ZSCORE', f.ready, org) and not call('ZSCORE', f.parked, org) then
    call('ZADD', f.ready, score(math.max(virtual_time(f), tag(f.tags, org))), org)
    call('ZREM', f.tags, org)
  end
  call('SADD', f.queues, f.queue)
  return ''
end

-- advance moves the next task into the stream; false when no organization may have one more.
local function advance(f, stream)
  f.waiting = nil -- the sets change below
  while true do
    local first = call('ZRANGE', f.ready, '0', '0', 'WITHSCORES')
    if #first == 0 then return false end
    local org, start = first[1], tonumber(first[2])
    local limit = limit_of(f, org)
    local member = call('ZRANGEBYLEX', f.backlog, '[' .. head(org), '(' .. #org .. ':' .. org .. '!', 'LIMIT', '0', '1')[1]
    if not member then -- its tasks were purged
      call('ZREM', f.ready, org)
    elseif limit > 0 and tonumber(call('HGET', f.held, 'n:' .. org) or 0) >= limit then
      call('ZREM', f.ready, org)
      call('ZADD', f.parked, score(start), org)
    else
      call('ZREM', f.parked, org) -- a full Redis accepts ZREM, and then the writes below
      local packed = string.sub(member, #head(org) + 15)
      local entry = unpacked(packed)
      if not entry or #entry == 0 or #entry % 2 == 1 then entry = {'argus_packed', packed} end
      local id = add_task(stream, f.group, unpack(entry))
      call('ZREM', f.backlog, member)
      call('HSET', f.held, 'v', score(start))
      local finish = start + 1 / (f.weights[org] or 1)
      if backlog_of(f, org) > 0 then
        call('ZADD', f.ready, score(finish), org)
      else
        call('ZREM', f.ready, org)
        call('ZREMRANGEBYSCORE', f.tags, '-inf', score(start))
        call('ZADD', f.tags, score(finish), org)
      end
      if limit > 0 then
        call('HSET', f.held, id, org)
        call('HINCRBY', f.held, 'n:' .. org, '1')
      end
      return true
    end
  end
end

-- undelivered counts the entries that no group has read, up to most.
local function undelivered(stream, most)
  if call('EXISTS', stream) == 0 then return 0 end
  local from = '0-0'
  for _, g in ipairs(groups_of(stream)) do
    if precedes(from, g['last-delivered-id']) then from = g['last-delivered-id'] end
  end
  return #call('XRANGE', stream, '(' .. from, '+', 'COUNT', text(most))
end

-- feed moves tasks until the stream has f.ahead undelivered entries. It returns how many it moved.
local function feed(f, stream)
  if not f or call('EXISTS', f.backlog) == 0 then return 0 end
  local moved = 0
  for _ = undelivered(stream, f.ahead) + 1, f.ahead do
    if not advance(f, stream) then break end
    moved = moved + 1
  end
  return moved
end
