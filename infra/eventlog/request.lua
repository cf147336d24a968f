-- request.lua: clients ask for tasks of one queue.
--
-- KEYS  1 events   2 delayed   3 waiting:<queue>   4 ready   5 queues
--       6 … task rows
-- ARGV  1 queue   2 channel for signals, then for each task:
--       1 task id   2 request id ('' when the task id was made up for this request)
--       3 delay, ms   4 run at, ms of Redis' clock ('': use the delay)
--       5 priority   6 label, a JSON fragment   7 definition, a JSON fragment
-- Returns for each task the lines duplicate 0|1, state, due at, entry id of TaskRequested, queue
--       | error, why
--
-- Repeatable: the row says that the task exists, and its request id whether this very request
-- made it. Every check of a task stands before its first write, and that is the XADD.
local now = clock()
local at = int(now)
local waiting, delayed = {}, {}

local function request(row, task, token, delayMs, runAt, priority, label, def)
  if redis.call('HGET', row, 'state') then
    local r = redis.call('HMGET', row, 'state', 'dueAt', 'events', 'queue', 'request')
    local duplicate = (r[5] or '') == token and '0' or '1'
    return duplicate .. '\n' .. r[1] .. '\n' .. r[2] .. '\n' .. first(r[3]) .. '\n' .. r[4]
  end
  local delay = 0
  if runAt ~= '' then
    delay = math.max(0, runAt - now)
  elseif delayMs ~= '0' then
    delay = tonumber(delayMs)
  end
  local dueAt, state = at, 'waiting'
  if delay > 0 then dueAt, state = int(now + delay), 'delayed' end

  local data = '{' .. label .. ',' .. def .. ',"dueAt":' .. dueAt
  if delay > 0 then data = data .. ',"delayMs":' .. int(delay) end
  local id = appendAt(KEYS[1], at, 'TaskRequested', task, data .. '}')
  if token == '' then
    redis.call('HSET', row, 'state', state, 'priority', priority, 'dueAt', dueAt, 'queue', ARGV[1],
      'label', label, 'def', def, 'events', id)
  else
    redis.call('HSET', row, 'state', state, 'priority', priority, 'dueAt', dueAt, 'queue', ARGV[1],
      'label', label, 'def', def, 'events', id, 'request', token)
  end
  if delay > 0 then
    add(delayed, dueAt, task)
  else
    add(waiting, priority, place(id, task))
  end
  return '0\n' .. state .. '\n' .. dueAt .. '\n' .. id .. '\n' .. ARGV[1]
end

local answers = {}
for i = 3, #ARGV, 7 do
  answers[#answers + 1] = try(request, KEYS[6 + #answers], unpack(ARGV, i, i + 6))
end
local news = #delayed > 0 -- a queue that has something waiting is known
if #delayed > 0 then redis.call('ZADD', KEYS[2], unpack(delayed)) end
if #waiting > 0 then
  redis.call('ZADD', KEYS[3], unpack(waiting))
  news = redis.call('SADD', KEYS[4], ARGV[1]) == 1 or news
end
if news and redis.call('SADD', KEYS[5], ARGV[1]) == 1 then
  redis.call('PUBLISH', ARGV[2], 'queue ' .. ARGV[1])
end
return answers
