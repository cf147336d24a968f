-- announce.lua: a worker says that it is there, what it serves and how much it can take.
--
-- KEYS  1 workers
-- ARGV  1 worker id   2 the worker, a JSON fragment
-- Returns ms of Redis' clock
--
-- Repeatable: the last word counts.
local now = int(clock())
redis.call('HSET', KEYS[1], ARGV[1], '{' .. ARGV[2] .. ',"seenAt":' .. now .. '}')
return now
