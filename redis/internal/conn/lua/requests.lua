-- Shared by the scripts that look up what a request id stands for.

-- is_version is true of a record or a claim that this version made, or, where not, of one of
-- the version before it, whose keys name no queue. Each is found under its own key only.
local function is_version(record, is_own)
  return (string.find(record, '^v2:') ~= nil) == is_own
end

-- request_record is the value of a request id: under the key of its queue, else under the key
-- by which the version before kept it; nil where there is none.
local function request_record(key, old_key)
  local record = call('GET', key)
  if record and is_version(record, true) then return record end
  record = call('GET', old_key)
  if record and is_version(record, false) then return record end
end

-- split_digests parts the digest of a request from the one that the version before made.
local function split_digests(digests)
  return string.match(digests, '^(%S+) (%S+)$')
end
