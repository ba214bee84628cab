-- Creates or deletes a consumer group of a queue.
--
-- KEYS  1 tasks: task stream
--       2 created: set of the groups that were created by request
--       3 begins: hash, where each group began
--       4 known: set of the known queues
-- ARGV  1 mode: 'create'; 'delete'; 'force': delete it although its consumers hold tasks
--       2 group
--       3 queue
--       4 max_queues: how many queues there may be, '' for any number
--       5 default_group
-- Returns CREATED, or EXISTS when it existed; DELETED, NOT_FOUND, or IN_USE when its consumers
--         hold tasks; GROUPS or QUEUES when there are as many as there may be
local stream, created, begins, known = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local mode, name, queue, max_queues, default_group = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
call('XLEN', stream) -- fails for a key of another type, before anything is written
local groups = call('EXISTS', stream) == 1 and groups_of(stream) or {}
local group = find_group(groups, name)
if mode == 'create' then
  if not group and #groups >= max_groups then return 'GROUPS' end
  if not may_be_known(known, queue, max_queues) then return 'QUEUES' end
  local is_new = call('SADD', created, name) == 1
  -- A stream begins with the default group: see add_task.
  if call('EXISTS', stream) == 0 then call('XGROUP', 'CREATE', stream, default_group, '0', 'MKSTREAM') end
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
