-- Shared by the scripts that look up a request id.

-- is_version is true of a record or a claim that this version wrote (is_own), or the version before it
-- (not is_own), whose keys name no queue. Each is read under its own key only.
local function is_version(record, is_own)
  return (string.find(record, '^v2:') ~= nil) == is_own
end

-- request_record is the value of a request id: the one under the key with its queue, else the one under
-- the key of the version before; nil if there is none.
local function request_record(key, old_key)
  local record = call('GET', key)
  if record and is_version(record, true) then return record end
  record = call('GET', old_key)
  if record and is_version(record, false) then return record end
end

-- split_digests returns the digest of a request, and the digest that the version before computed.
local function split_digests(digests)
  return string.match(digests, '^(%S+) (%S+)$')
end
