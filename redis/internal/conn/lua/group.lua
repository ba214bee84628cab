-- Creates or deletes a consumer group of a queue.
--
-- KEYS  1 task stream   2 groups that were created   3 hash: where each group began
--       4 known queues
-- ARGV  1 'create', or 'delete'; 'force': delete it although its consumers hold tasks
--       2 group   3 queue   4 how many queues there may be, '' for any number
--       5 the default group
-- Returns 'CREATED', or 'EXISTS' when it was there; 'DELETED', 'NOT_FOUND', or 'IN_USE' when
--         its consumers hold tasks; 'GROUPS' or 'QUEUES' when there are as many as there may be
local stream, created, begins, mode, name = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2]
call('XLEN', stream) -- of another type: fail before anything is written
local groups = call('EXISTS', stream) == 1 and groups_of(stream) or {}
local group = find_group(groups, name)
if mode == 'create' then
  if not group and #groups >= max_groups then return 'GROUPS' end
  if not may_be_known(KEYS[4], ARGV[3], ARGV[4]) then return 'QUEUES' end
  local is_new = call('SADD', created, name) == 1
  -- A stream begins with the default group: see add_task.
  if call('EXISTS', stream) == 0 then call('XGROUP', 'CREATE', stream, ARGV[5], '0', 'MKSTREAM') end
  hold_group(stream, begins, name)
  return (is_new or not group) and 'CREATED' or 'EXISTS'
end
if group and group.pending > 0 and mode ~= 'force' then return 'IN_USE' end
local was_created = call('SREM', created, name) == 1
if group then
  call('XGROUP', 'DESTROY', stream, name)
  call('HDEL', begins, name)
end
return (group or was_created) and 'DELETED' or 'NOT_FOUND'
