-- Forgets a queue that is empty and unread: deletes its stream with the consumer groups, and
-- the keys that belong to it.
--
-- KEYS  1 tasks: task stream
--       2 known: set of the known queues
--       3 empty: sorted set, since when queues are empty
--       4 begins: hash, where each group began
--       5 uncounted: uncounted deliveries
--       6 to 9 the keys of fairness but the backlog: they mean nothing without it
--       10… keys that only a queue which is in use has
-- ARGV  1 queue
--       2 period: how long it must be empty and unread, ms
-- Returns KEPT when it is in use, EMPTY when it is not unused for long enough, or FORGOTTEN
local stream, known, empty, queue, period = KEYS[1], KEYS[2], KEYS[3], ARGV[1], tonumber(ARGV[2])
local first_owned, last_owned, first_in_use = 4, 9, 10

-- last_read is how long ago a consumer last asked for tasks, in ms; 0 when one holds tasks,
-- nil when there is no consumer.
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

local has_stream = call('EXISTS', stream) == 1
local idle = has_stream and last_read(groups_of(stream))
local is_in_use = call('EXISTS', unpack(KEYS, first_in_use)) > 0
if is_in_use or has_stream and call('XLEN', stream) > 0 or idle and idle < period then
  call('ZREM', empty, queue)
  return 'KEPT'
end
if has_stream and not idle then
  local since = call('ZSCORE', empty, queue)
  if not since then call('ZADD', empty, text(now_ms()), queue) end
  if not since or now_ms() - tonumber(since) < period then return 'EMPTY' end
end
call('DEL', unpack(KEYS, first_owned, last_owned))
call('DEL', stream)
call('SREM', known, queue)
call('ZREM', empty, queue)
return 'FORGOTTEN'
