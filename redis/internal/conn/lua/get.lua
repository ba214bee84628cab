-- Reads a job's state, or says that it is too large for that.
--
-- KEYS  1 job state   2 completion stream, where it is of interest whether there are events
-- ARGV  1 up to how many bytes it is returned   2 how many bytes are too many for anyone
--       then names of fields, none for all
-- Returns {'STATE', TTL in ms, status, 'EVENTS' or '', field, value, …}; without fields
--         {'LARGE', …} and {'TOO_LARGE', …}; or {'NONE'}
local key, names = KEYS[1], {unpack(ARGV, 3)}
local fields = call('HLEN', key)
if fields == 0 then return {'NONE'} end
local status = call('HSTRLEN', key, 'status') <= 256 and call('HGET', key, 'status') or ''
local has_events = KEYS[2] and call('EXISTS', KEYS[2]) == 1
local state, bytes = {'STATE', text(call('PTTL', key)), status, has_events and 'EVENTS' or ''}, 0
if #names == 0 then
  bytes = limits().bytes(key, fields, tonumber(ARGV[2]))
else
  for _, name in ipairs(names) do bytes = bytes + call('HSTRLEN', key, name) end
end
if bytes > tonumber(ARGV[1]) then
  state[1] = bytes > tonumber(ARGV[2]) and 'TOO_LARGE' or 'LARGE'
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
