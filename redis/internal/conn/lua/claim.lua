-- Claims a request id for one request in all shards. The claim lives as long as what the shards
-- record of the request: each attempt renews it, and each shard its record.
--
-- KEYS  1 claim   2 claim of the version before
-- ARGV  1 'claim', or 'release' to take back an attempt that recorded nothing
--       2 digests of the request   3 how long the claim is kept, ms
--       4 a unique id of the attempt
-- Returns 'NEW', 'KNOWN' when the request was made before, 'CONFLICT' when another one was, or
--         'RELEASED', 'KEPT' when there was another attempt
local digest, earlier = split_digests(ARGV[2])
local claim = request_record(KEYS[1], KEYS[2])
if ARGV[1] == 'release' then
  if claim ~= digest .. ' ' .. ARGV[4] .. ' new' then return 'KEPT' end
  call('DEL', KEYS[1])
  return 'RELEASED'
end
local known = claim and string.match(claim, '^%S+')
if known and known ~= digest and known ~= earlier then return 'CONFLICT' end
call('SET', KEYS[1], digest .. ' ' .. ARGV[4] .. (known and '' or ' new'), 'PX', ARGV[3])
return known and 'KNOWN' or 'NEW'
