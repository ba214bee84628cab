-- Reads a job's state, unless it is too large for one reply.
--
-- KEYS  1 state: job state
--       2 events: completion stream; may be missing: then events are not looked for
-- ARGV  1 small: up to how many bytes the fields are returned
--       2 readable: up to how many bytes a state is read at all
--       3… names of the fields to read; none for all
-- Returns {STATE, TTL in ms, status, 'EVENTS' if there are any or '', field, value, …};
--         {LARGE, …} and {TOO_LARGE, …}, the same without fields; or {NONE}
local key, events, small, readable, names = KEYS[1], KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2]), {unpack(ARGV, 3)}
local fields = call('HLEN', key)
if fields == 0 then return {'NONE'} end
local status = call('HSTRLEN', key, 'status') <= 256 and call('HGET', key, 'status') or ''
local has_events = events and call('EXISTS', events) == 1
local state, bytes = {'STATE', text(call('PTTL', key)), status, has_events and 'EVENTS' or ''}, 0
if #names == 0 then
  bytes = limits().bytes(key, fields, readable)
else
  for _, name in ipairs(names) do bytes = bytes + call('HSTRLEN', key, name) end
end
if bytes > small then
  state[1] = bytes > readable and 'TOO_LARGE' or 'LARGE'
elseif #names == 0 then
  for i, word in ipairs(call('HGETALL', key)) do state[i + 4] = word end
else
  for _, name in ipairs(names) do
    local value = call('HGET', key, name)
    if value then
      state[#state + 1] = name
      state[#state + 1] = value
    end
  end
end
return state
