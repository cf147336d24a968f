-- promote.lua: delayed tasks whose time has come take their place among the waiting ones.
-- Nothing happens to the task that the log would tell: its state stays as it is until TaskDue.
--
-- KEYS  1 delayed   2 waiting:<queue>   3 ready
-- ARGV  1 queue, then for each task of that queue: task id, priority, entry id of TaskRequested
-- Returns how many were moved
--
-- Repeatable: a task that is no longer in delayed, or not due by Redis' clock, is left alone.
local now = clock()
local moved = 0
for i = 2, #ARGV, 3 do
  local dueAt = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if dueAt and tonumber(dueAt) <= now then
    redis.call('ZADD', KEYS[2], ARGV[i + 1], place(ARGV[i + 2], ARGV[i]))
    redis.call('ZREM', KEYS[1], ARGV[i])
    moved = moved + 1
  end
end
if moved > 0 then redis.call('SADD', KEYS[3], ARGV[1]) end
return moved
