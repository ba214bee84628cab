-- Forgets a queue that is empty and that nothing reads from: deletes its stream with the
-- consumer groups, and what is kept beside it.
--
-- KEYS  1 task stream   2 known queues   3 sorted set: since when queues are empty
--       4 hash: where each group began   5 uncounted deliveries   6 to 9 the keys of fairness
--       but the backlog: they mean nothing without it
--       10… keys that a queue which is not empty may have
-- ARGV  1 queue   2 how long it must be empty and unread, ms
-- Returns 'KEPT', 'EMPTY' when it is not so for long enough, or 'FORGOTTEN'
local stream, empty, queue, period = KEYS[1], KEYS[3], ARGV[1], tonumber(ARGV[2])

-- last_read is how long ago a consumer asked last, in ms; 0 when one holds tasks, nil
-- when there is none.
local function last_read(groups)
  local least
  for _, g in ipairs(groups) do
    if g.pending > 0 then return 0 end
    for _, c in ipairs(call('XINFO', 'CONSUMERS', stream, g.name)) do
      for i = 1, #c, 2 do
        if c[i] == 'idle' then least = math.min(least or math.huge, math.max(0, c[i + 1])) end
      end
    end
  end
  return least
end

local is_there = call('EXISTS', stream) == 1
local idle = is_there and last_read(groups_of(stream))
if call('EXISTS', unpack(KEYS, 10)) > 0 or is_there and call('XLEN', stream) > 0 or idle and idle < period then
  call('ZREM', empty, queue)
  return 'KEPT'
end
if is_there and not idle then
  local since = call('ZSCORE', empty, queue)
  if not since then call('ZADD', empty, text(now_ms()), queue) end
  if not since or now_ms() - tonumber(since) < period then return 'EMPTY' end
end
call('DEL', unpack(KEYS, 4, 9))
call('DEL', stream)
call('SREM', KEYS[2], queue)
call('ZREM', empty, queue)
return 'FORGOTTEN'
