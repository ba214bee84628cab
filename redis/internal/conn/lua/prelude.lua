-- Shared by all scripts: this file is prepended to each of them.
--
-- Rules. All checks come before the first write, because a script does not roll back. The first
-- write of a script that settles is one that a full Redis accepts: XACK or DEL. A Redis that is out
-- of memory refuses a script's first write if it may need memory, and then accepts all that follow
-- an accepted one; so a full Redis can drain. Results are verdicts, not errors: conn/verdicts.go
-- lists them. Time is Redis's own. Numbers are returned as strings.

-- What scripts use most, as locals: a global takes longer to look up.
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

-- fence checks a lease: nil when it is held, else NOT_PENDING (settled, or the group is gone) or
-- LEASE_LOST (the entry is leased to another consumer, or by a later delivery).
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

-- groups_of lists a stream's groups, each with the fields of XINFO GROUPS by name.
local function groups_of(stream)
  local groups = call('XINFO', 'GROUPS', stream)
  for i, list in ipairs(groups) do
    for j = 1, #list, 2 do list[list[j]] = list[j + 1] end
    local last = list['last-delivered-id']
    if last == '' or last == '0' then list['last-delivered-id'] = '0-0' end -- miniredis
    groups[i] = list
  end
  return groups
end

-- counting_groups are the groups that hold entries: groups_of without the default group
-- where no consumer has ever read with it and another group has consumers. There it only
-- keeps a place for raw workers that start late; counted, it would hold all entries for ever.
local function counting_groups(stream, default_group)
  local groups, in_use = groups_of(stream), false
  for _, g in ipairs(groups) do in_use = in_use or g.consumers > 0 end
  for i = #groups, 1, -1 do
    local g = groups[i]
    if in_use and g.name == default_group and g.consumers == 0 and g['last-delivered-id'] == '0-0' then
      table.remove(groups, i)
    end
  end
  return groups
end

-- only_group is the only group that an entry is for, nil when it is for all groups.
local function only_group(stream, id)
  local entry = call('XRANGE', stream, id, id)[1]
  for i = 1, entry and #entry[2] or 0, 2 do
    if entry[2][i] == 'argus_for_group' then return entry[2][i + 1] end
  end
end

-- settle removes entries from the group, and deletes those that no other group still has to read or
-- to settle. It returns the deleted ones.
local function settle(stream, group, ids, default_group)
  call('XACK', stream, group, unpack(ids))
  local groups = call('XINFO', 'GROUPS', stream)
  if #groups > 1 then
    groups = counting_groups(stream, default_group)
    local function is_needed(id)
      if #groups < 2 or only_group(stream, id) == group then return false end
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
  return ids
end

-- A job in a queue of unique jobs has an active mark while a task of it is unsettled: '<time of
-- publication, ms> <unique id> <the job's last event at that time, or 0-0> <number of entries>'. A
-- task has several entries when one of several groups has requeued it. Other tasks of the job may
-- still be in the queue: cancelled ones, and those of raw producers. The time of publication tells
-- the mark's task from these.

-- count_mark adds to the number of entries that a mark stands for, if it is the mark of a task that
-- was published at that time. A mark without entries is deleted.
local function count_mark(key, by, published)
  local at, rest, n = string.match(call('GET', key) or '', '^(%d+)( %S+ %S+) (%d+)$')
  if at and at ~= text(tonumber(published)) then return end
  if not at or tonumber(n) + by <= 0 then
    call('DEL', key)
  else
    call('SET', key, at .. rest .. ' ' .. text(tonumber(n) + by), 'KEEPTTL')
  end
end

-- new_mark creates the active mark of a job whose completion stream is events.
local function new_mark(key, published, id, events, ttl)
  local last = call('XREVRANGE', events, '+', '-', 'COUNT', '1')[1]
  call('SET', key, text(published) .. ' ' .. id .. ' ' .. (last and last[1] or '0-0') .. ' 1', 'PX', ttl)
end

-- add_task appends an entry to a task stream and returns its id. A missing stream is created with the
-- default group at its beginning, so that a raw worker that creates the group at '$' a moment later
-- gets BUSYGROUP instead of skipping the entry.
local function add_task(stream, group, ...)
  local id = call('XADD', stream, 'NOMKSTREAM', '*', ...)
  if not id then
    call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
    id = call('XADD', stream, '*', ...)
  end
  return id
end

-- hset writes ARGV[from..] as fields of a hash, in chunks that fit Lua's stack.
local function hset(key, from)
  for i = from, #ARGV, 2000 do
    call('HSET', key, unpack(ARGV, i, math.min(i + 1999, #ARGV)))
  end
end

-- own_fields are the fields that the service adds to entries and dead letters.
local own_fields = {argus_attempt = true, argus_failures = true, argus_published_at = true,
  argus_for_group = true, argus_reason = true, argus_packed = true, argus_cause = true,
  argus_source_id = true, argus_group = true, argus_dead_at = true, argus_result = true}

-- published_at is the time at which a task was first published, ms.
local function published_at(id, list)
  local at
  for i = 1, #list, 2 do
    if list[i] == 'argus_published_at' then at = tonumber(list[i + 1]) end
  end
  return at or tonumber(string.match(id, '^%d+'))
end

-- entry_published_at is published_at of an entry. For a deleted one it is the time in its id.
local function entry_published_at(stream, id)
  local entry = call('XRANGE', stream, id, id)[1]
  return published_at(id, entry and entry[2] or {})
end

-- literal is how a number is spelled in a JSON text under a name; nil if that is ambiguous, because
-- the name occurs more than once.
local function literal(json, name, value)
  local found
  for word in string.gmatch(json, '"' .. name .. '"%s*:%s*([-+.%w]+)') do
    if found then return nil end
    found = word
  end
  return tonumber(found) == value and found or nil
end

-- job_of is a task's job id, part and organization as its entry says them, in either encoding; '' for
-- what is missing or can't be determined.
local function job_of(list)
  local f = {}
  for i = #list - 1, 1, -2 do f[list[i]] = list[i + 1] end -- of two fields of one name the first counts
  if not f.job_id and f.data then
    local data = f.data
    local ok, object = pcall(cjson.decode, data)
    if ok and type(object) == 'table' then f = object end
    if type(f.job_id) == 'number' then f.job_id = literal(data, 'job_id', f.job_id) end
  end
  local function word(name) return type(f[name]) == 'string' and f[name] or '' end
  return word('job_id'), word('part'), word('organization_id')
end

-- stray compares a lease with its entry: OTHER_JOB when the entry is a task of another job than the
-- lease says, OTHER_PART when it is another part, or nil. A lease token is not a secret, so the job
-- that it names is checked. An entry that was deleted, or whose job can't be determined, passes. The
-- second result is the entry's part.
local function stray(stream, id, job, part)
  local entry = call('XRANGE', stream, id, id)[1]
  if not entry then return nil end
  local own_job, own_part = job_of(entry[2])
  if own_job ~= '' and own_job ~= job then return 'OTHER_JOB' end
  if part ~= '' and own_part ~= '' and own_part ~= part then return 'OTHER_PART' end
  return nil, own_part
end

-- pack joins strings of any bytes: "3:abc0:2:xy". A second argument is put in front of the result.
local function pack(strings, before)
  local out = {before or ''}
  for i, s in ipairs(strings) do
    out[2 * i], out[2 * i + 1] = #s .. ':', s
  end
  return table.concat(out)
end

-- unpacked reverses pack; nil for a string that pack did not produce.
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

-- dead_letter appends a dead letter, deletes those that are older than ttl ms, and makes the stream
-- expire ttl ms after the last one.
local function dead_letter(key, ttl, entry)
  call('XADD', key, 'MINID', text(math.max(0, now_ms() - tonumber(ttl))), '*', unpack(entry))
  call('PEXPIRE', key, ttl)
end
