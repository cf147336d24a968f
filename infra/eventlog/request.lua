-- request.lua: a client asks for a task.
--
-- KEYS  1 task row   2 events   3 delayed   4 waiting:<queue>   5 ready   6 queues
-- ARGV  1 task id   2 request id ('' when the task id was made up for this request)
--       3 delay, ms   4 run at, ms of Redis' clock ('': use the delay)
--       5 priority   6 queue   7 label, a JSON fragment   8 definition, a JSON fragment
--       9 channel for signals
-- Returns {duplicate 0|1, state, due at, entry id of TaskRequested, queue}, as lines when it is new
--
-- Repeatable: the row says that the task exists, and its request id whether this very request
-- made it. Every check stands before the first write, and the first write is the XADD.
local row = redis.call('HMGET', KEYS[1], 'state', 'dueAt', 'events', 'queue', 'request')
if row[1] then
  local duplicate = ((row[5] or '') == ARGV[2]) and 0 or 1
  return {duplicate, row[1], row[2], first(row[3]), row[4]}
end

local now = clock()
local delay = 0
if ARGV[4] ~= '' then
  delay = math.max(0, ARGV[4] - now)
elseif ARGV[3] ~= '0' then
  delay = tonumber(ARGV[3])
end
local dueAt = int(now + delay)

local data = '{' .. ARGV[7] .. ',' .. ARGV[8] .. ',"dueAt":' .. dueAt
if delay > 0 then data = data .. ',"delayMs":' .. int(delay) end
local id = appendAt(KEYS[2], delay > 0 and int(now) or dueAt, 'TaskRequested', ARGV[1], data .. '}')

local state = delay > 0 and 'delayed' or 'waiting'
if ARGV[2] == '' then
  redis.call('HSET', KEYS[1], 'state', state, 'priority', ARGV[5], 'dueAt', dueAt, 'queue', ARGV[6],
    'label', ARGV[7], 'def', ARGV[8], 'events', id)
else
  redis.call('HSET', KEYS[1], 'state', state, 'priority', ARGV[5], 'dueAt', dueAt, 'queue', ARGV[6],
    'label', ARGV[7], 'def', ARGV[8], 'events', id, 'request', ARGV[2])
end
local news = true -- a queue that has something waiting is known
if delay > 0 then
  redis.call('ZADD', KEYS[3], dueAt, ARGV[1])
else
  redis.call('ZADD', KEYS[4], ARGV[5], place(id, ARGV[1]))
  news = redis.call('SADD', KEYS[5], ARGV[6]) == 1
end
if news and redis.call('SADD', KEYS[6], ARGV[6]) == 1 then
  redis.call('PUBLISH', ARGV[9], 'queue ' .. ARGV[6])
end
return '0\n' .. state .. '\n' .. dueAt .. '\n' .. id .. '\n' .. ARGV[6]
