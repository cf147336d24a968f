-- pause.lua: an operator pauses or resumes a queue. What is due already is not called back.
--
-- KEYS  1 events   2 paused   3 ready   4 waiting:<queue>   5 queues
-- ARGV  1 queue   2 QueuePaused | QueueResumed   3 body   4 channel of signals
-- Returns {changed 0|1}
--
-- Repeatable: pausing a paused queue, or resuming one that runs, changes nothing. The first SREM removes nothing, but
-- after it Redis lets the script write even when it is out of memory: then, too, an operator decides what runs.
local paused = redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1
if paused == (ARGV[2] == 'QueuePaused') then return {0} end

redis.call('SREM', KEYS[2], '')
append(KEYS[1], ARGV[2], '', ARGV[3])
if redis.call('SADD', KEYS[5], ARGV[1]) == 1 then redis.call('PUBLISH', ARGV[4], 'queue ' .. ARGV[1]) end
if paused then
  redis.call('SREM', KEYS[2], ARGV[1])
  if redis.call('EXISTS', KEYS[4]) == 1 then redis.call('SADD', KEYS[3], ARGV[1]) end
else
  redis.call('SADD', KEYS[2], ARGV[1])
end
return {1}
