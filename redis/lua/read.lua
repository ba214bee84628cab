-- Leases tasks to a consumer. Creates the group, from the stream's beginning, when
-- the stream is there and the group is not.
--
-- KEYS  1 task stream
-- ARGV  1 group   2 consumer   3 how many   4 lease, ms
--       5 'claim': expired leases first, then new tasks; 'new': new tasks only;
--         'own': what the consumer holds
-- Returns {now in ms, number of leases whose entry is gone, entry, entry, …}
--         where an entry is {id, delivery count, {field, value, …}}
local stream, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local want, mode = tonumber(ARGV[3]), ARGV[5]
local out, gone = {text(now_ms()), 0}, 0

-- in_group calls a command that needs the group; nil when there is no stream.
local function in_group(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if not string.find(reply.err, 'NOGROUP', 1, true) then error(reply.err) end
  if redis.call('EXISTS', stream) == 0 then return nil end
  redis.call('XGROUP', 'CREATE', stream, group, '0')
  return redis.call(...)
end

-- take leases pending entries anew. An entry that was deleted under its lease is
-- forgotten: there is nothing left to deliver.
local function take(pending)
  for _, p in ipairs(pending or {}) do
    local id, count = p[1], tonumber(p[4]) + 1
    local entry = redis.call('XRANGE', stream, id, id)
    if #entry == 0 then
      redis.call('XACK', stream, group, id)
      gone = gone + 1
    else
      redis.call('XCLAIM', stream, group, consumer, '0', id, 'IDLE', '0', 'RETRYCOUNT', text(count), 'JUSTID')
      out[#out + 1] = {id, text(count), entry[1][2]}
    end
  end
end

if mode == 'own' then
  take(in_group('XPENDING', stream, group, '-', '+', ARGV[3], consumer))
else
  if mode == 'claim' then
    take(in_group('XPENDING', stream, group, 'IDLE', ARGV[4], '-', '+', ARGV[3]))
  end
  local left = want - (#out - 2)
  if left > 0 then
    local reply = in_group('XREADGROUP', 'GROUP', group, consumer, 'COUNT', text(left), 'STREAMS', stream, '>')
    if reply then
      for _, entry in ipairs(reply[1][2]) do out[#out + 1] = {entry[1], '1', entry[2]} end
    end
  end
end
out[2] = text(gone)
return out
