-- Claims a request id for one request in all shards. The claim lives as long as the shards' records of
-- the request: each attempt renews it, and each shard renews its record.
--
-- KEYS  1  claim
--       2  old_claim  claim of the version before
-- ARGV  1  mode       'claim', or 'release' to take back an attempt that recorded nothing
--       2  digests    digests of the request: requests.lua
--       3  ttl        TTL of the claim, ms
--       4  attempt    unique id of the attempt
-- Returns a verdict:
--   NEW       this is the first attempt of this request
--   KNOWN     the same request was attempted before
--   CONFLICT  another request has the id
--   RELEASED  the attempt is taken back
--   KEPT      it is not: there was another attempt
local claim_key, old_claim_key = KEYS[1], KEYS[2]
local mode, digests, ttl, attempt = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local digest, earlier = split_digests(digests)
local claim = request_record(claim_key, old_claim_key)
if mode == 'release' then
  if claim ~= digest .. ' ' .. attempt .. ' new' then return 'KEPT' end
  call('DEL', claim_key)
  return 'RELEASED'
end
local known = claim and string.match(claim, '^%S+')
if known and known ~= digest and known ~= earlier then return 'CONFLICT' end
call('SET', claim_key, digest .. ' ' .. attempt .. (known and '' or ' new'), 'PX', ttl)
return known and 'KNOWN' or 'NEW'
