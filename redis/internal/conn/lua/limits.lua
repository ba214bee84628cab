-- Shared by the scripts that write or read a job's state. A state is bounded, so that one
-- reply can carry it and reading it blocks Redis only briefly: at most max_fields fields and
-- max_bytes of names and values. Raw peers may have written any hash there, so nothing here
-- takes longer the more bytes a hash has, and nothing walks over more than twice max_fields.

-- limits makes the functions on demand: most calls of the scripts don't need them, and making
-- a function takes time.
local function limits()
  local max_fields, max_bytes = 4096, 3 * 2 ^ 20

  -- bytes_of is how many bytes of names and values a state of this many fields has, or somewhat
  -- more. The memory that Redis reports is an upper bound, and cheap. Where Redis reports none,
  -- or more than enough, the fields are measured.
  local function bytes_of(key, fields, enough)
    if fields > 2 * max_fields then return math.huge end
    local bytes = redis.pcall('MEMORY', 'USAGE', key, 'SAMPLES', '0')
    -- An allocator rounds up by a quarter, and a field has some hundred bytes around it.
    if type(bytes) == 'number' and (bytes <= enough or bytes > 4 * max_bytes) then return bytes end
    bytes = 0
    for _, name in ipairs(call('HKEYS', key)) do bytes = bytes + #name + call('HSTRLEN', key, name) end
    return bytes
  end

  -- fits is true when a state of this many fields can take ARGV[first..last], field, value, …,
  -- without becoming too large. Small writes to small states are not measured: they can make
  -- a state larger by some 256 KiB at most.
  local function fits(key, fields, first, last)
    local written, bytes = (last - first + 1) / 2, 0
    for i = first, last do bytes = bytes + #ARGV[i] end
    if fields + written <= 64 and bytes <= 4096 then return true end
    if bytes > max_bytes then return false end
    if fields == 0 then return written <= max_fields end
    local free = max_bytes - bytes
    local has = bytes_of(key, fields, free)
    if fields + written <= max_fields and has <= free then return true end
    for i = first, last, 2 do
      if call('HEXISTS', key, ARGV[i]) == 1 then
        written = written - 1
        has = has - #ARGV[i] - call('HSTRLEN', key, ARGV[i])
      end
    end
    return fields + written <= max_fields and has <= free
  end

  return {bytes = bytes_of, fits = fits}
end
