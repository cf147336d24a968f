-- promote.lua: delayed tasks whose time has come take their place among the waiting ones.
-- Nothing happens to the task that the log would tell: its state stays as it is until TaskDue.
--
-- KEYS  1 delayed   2 waiting:<queue>   3 ready
-- ARGV  1 queue, then for each task of that queue: task id, priority, entry id of TaskRequested
-- Returns how many were moved
--
-- Repeatable: a task that is no longer in delayed, or not due by Redis' clock, is left alone.
local now = clock()
local tasks = {}
for i = 2, #ARGV, 3 do tasks[#tasks + 1] = ARGV[i] end
local dueAt = redis.call('ZMSCORE', KEYS[1], unpack(tasks))
local places, moved = {}, {}
for n, task in ipairs(tasks) do
  if dueAt[n] and tonumber(dueAt[n]) <= now then
    add(places, ARGV[3 * n], place(ARGV[3 * n + 1], task))
    add(moved, task)
  end
end
if #moved == 0 then return 0 end
redis.call('ZADD', KEYS[2], unpack(places))
redis.call('ZREM', KEYS[1], unpack(moved))
redis.call('SADD', KEYS[3], ARGV[1])
return #moved
