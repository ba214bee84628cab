-- Shared by all scripts: it is put in front of each of them when they are loaded.
--
-- House rules. All checks come before the first write, because a script does not
-- roll back. XACK is the first write where there is one: Redis refuses a script's
-- first write when it is out of memory, but never XACK, so a full Redis can drain.
-- Results are codes, not errors. Time is Redis's own. Numbers leave as strings.

-- What scripts use most; globals take longer to find.
local call, ARGV, KEYS = redis.call, ARGV, KEYS

-- now_ms is Redis's time in milliseconds.
local function now_ms()
  local t = call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- text formats a whole number without an exponent.
local function text(n)
  return string.format('%.0f', n)
end

-- precedes is true when the entry id a is before b.
local function precedes(a, b)
  local ams, aseq = string.match(a, '^(%d*)%-?(%d*)$')
  local bms, bseq = string.match(b, '^(%d*)%-?(%d*)$')
  if ams ~= bms then return (tonumber(ams) or 0) < (tonumber(bms) or 0) end
  return (tonumber(aseq) or 0) < (tonumber(bseq) or 0)
end

-- fence checks a lease: nil when it is held, else 'NOT_PENDING' (settled, or the
-- group is gone) or 'LEASE_LOST' (it is someone else's, or a later delivery's).
local function fence(stream, group, id, consumer, count)
  local p = redis.pcall('XPENDING', stream, group, id, id, '1')
  if p.err then
    if string.find(p.err, 'NOGROUP', 1, true) then return 'NOT_PENDING' end
    error(p.err)
  end
  if #p == 0 then return 'NOT_PENDING' end
  if p[1][2] ~= consumer or tonumber(p[1][4]) ~= tonumber(count) then return 'LEASE_LOST' end
  return nil
end

-- groups_of lists a stream's groups with their figures by name.
local function groups_of(stream)
  local groups = call('XINFO', 'GROUPS', stream)
  for i, list in ipairs(groups) do
    for j = 1, #list, 2 do list[list[j]] = list[j + 1] end
    groups[i] = list
  end
  return groups
end

-- settle takes entries out of the group, and out of the stream those that no other
-- group still has to read or to settle.
local function settle(stream, group, ids)
  call('XACK', stream, group, unpack(ids))
  local groups = call('XINFO', 'GROUPS', stream)
  if #groups > 1 then
    groups = groups_of(stream)
    local function is_needed(id)
      for _, g in ipairs(groups) do
        if g.name ~= group and (precedes(g['last-delivered-id'], id) or
            #call('XPENDING', stream, g.name, id, id, '1') > 0) then
          return true
        end
      end
    end
    local free = {}
    for _, id in ipairs(ids) do
      if not is_needed(id) then free[#free + 1] = id end
    end
    ids = free
  end
  if #ids > 0 then call('XDEL', stream, unpack(ids)) end
end

-- hset writes ARGV[from..] as fields of a hash, in portions that fit the stack.
local function hset(key, from)
  for i = from, #ARGV, 2000 do
    call('HSET', key, unpack(ARGV, i, math.min(i + 1999, #ARGV)))
  end
end

-- published_at is when a task was published first, in ms.
local function published_at(id, list)
  local at
  for i = 1, #list, 2 do
    if list[i] == 'argus_published_at' then at = tonumber(list[i + 1]) end
  end
  return at or tonumber(string.match(id, '^%d+'))
end

-- job_of is a task's job, part and organization as its entry says it, in either form; ''
-- where it doesn't.
local function job_of(list)
  local f = {}
  for i = 1, #list, 2 do f[list[i]] = list[i + 1] end
  if not f.job_id and f.data then
    local ok, object = pcall(cjson.decode, f.data)
    if ok and type(object) == 'table' then f = object end
    if type(f.job_id) == 'number' then f.job_id = text(f.job_id) end
  end
  local function word(name) return type(f[name]) == 'string' and f[name] or '' end
  return word('job_id'), word('part'), word('organization_id')
end

-- pack joins strings so that any bytes survive: "3:abc0:2:xy", behind a head if there is one.
-- Large strings are copied once.
local function pack(strings, head)
  local out = {head or ''}
  for i, s in ipairs(strings) do
    out[3 * i - 1], out[3 * i], out[3 * i + 1] = text(#s), ':', s
  end
  return table.concat(out)
end

-- unpacked is the reverse of pack; nil for a string that pack did not make.
local function unpacked(s)
  local out, at = {}, 1
  while at <= #s do
    local colon = string.find(s, ':', at, true)
    local length = colon and tonumber(string.sub(s, at, colon - 1))
    if not length or length < 0 or colon + length > #s then return nil end
    out[#out + 1] = string.sub(s, colon + 1, colon + length)
    at = colon + length + 1
  end
  return out
end

-- bury appends a dead letter, drops those that are older than ttl ms, and lets the
-- stream end when no more follow.
local function bury(key, ttl, entry)
  call('XADD', key, 'MINID', text(math.max(0, now_ms() - tonumber(ttl))), '*', unpack(entry))
  call('PEXPIRE', key, ttl)
end
