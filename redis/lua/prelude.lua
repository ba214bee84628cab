-- Shared by all scripts: it is put in front of each of them when they are loaded.
--
-- House rules. All checks come before the first write, because a script does not
-- roll back. XACK is the first write where there is one: Redis refuses a script's
-- first write when it is out of memory, but never XACK, so a full Redis can drain.
-- Results are codes, not errors. Time is Redis's own. Numbers leave as strings.

-- now_ms is Redis's time in milliseconds.
local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- text formats a whole number without an exponent.
local function text(n)
  return string.format('%.0f', n)
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

-- settle takes an entry out of the group, and out of the stream when no other
-- group may still have to read it.
local function settle(stream, group, id)
  redis.call('XACK', stream, group, id)
  if #redis.call('XINFO', 'GROUPS', stream) == 1 then redis.call('XDEL', stream, id) end
end

-- hset writes ARGV[from..] as fields of a hash, in portions that fit the stack.
local function hset(key, from)
  for i = from, #ARGV, 2000 do
    redis.call('HSET', key, unpack(ARGV, i, math.min(i + 1999, #ARGV)))
  end
end

-- pack joins strings so that any bytes survive: "3:abc0:2:xy".
local function pack(strings)
  local out = {}
  for i, s in ipairs(strings) do out[i] = #s .. ':' .. s end
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
  redis.call('XADD', key, 'MINID', text(math.max(0, now_ms() - tonumber(ttl))), '*', unpack(entry))
  redis.call('PEXPIRE', key, ttl)
end
