-- Registers a queue, so that it is listed and cleaned.
--
-- KEYS  1  known       set of known queues
-- ARGV  1  queue
--       2  max_queues  how many queues there may be, '' for no limit
-- Returns a verdict:
--   KNOWN   the queue is registered
--   QUEUES  there are max_queues other ones
local known = KEYS[1]
local queue, max_queues = ARGV[1], ARGV[2]
return may_be_known(known, queue, max_queues) and 'KNOWN' or 'QUEUES'
