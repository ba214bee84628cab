-- Makes a queue known, so that it is listed and cleaned.
--
-- KEYS  1 known queues
-- ARGV  1 queue   2 how many queues there may be, '' for any number
-- Returns 'KNOWN', or 'QUEUES' when there are as many as there may be
return may_be_known(KEYS[1], ARGV[1], ARGV[2]) and 'KNOWN' or 'QUEUES'
