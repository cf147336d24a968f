-- request.lua: clients ask for tasks.
--
-- KEYS  1 events   2 delayed   3 ready   4 queues
--       5 … task rows, then as many waiting:<queue>
-- ARGV  1 channel for signals, then for each task:
--       1 task id   2 queue   3 request id ('' when the task id was made up for this request)
--       4 delay, ms   5 run at, ms of Redis' clock ('': use the delay)
--       6 priority   7 label, a JSON fragment   8 definition, a JSON fragment
-- Returns for each task the lines duplicate 0|1, state, due at, entry id of TaskRequested, queue
--       | error, why
--
-- Repeatable: the row says that the task exists, and its request id whether this very request
-- made it. Every check of a task stands before its first write, and that is the XADD.
local tasks = (#ARGV - 1) / 8
local now = clock()
local at = int(now)
local delayed, lots = {}, {}

-- lot is what a call appends for one queue; the first of its tasks has a number. lots has each by its queue,
-- and all in the order in which they were begun.
local function lot(queue, number)
  local l = lots[queue]
  if not l then
    l = {queue = queue, first = number, waiting = {}}
    lots[queue], lots[#lots + 1] = l, l
  end
  return l
end

-- Mostly no row of a call was there before it: one question for all of them. made has those of this call.
local some, made = redis.call('EXISTS', unpack(KEYS, 5, 4 + tasks)) > 0, {}

local function request(row, number, task, queue, token, delayMs, runAt, priority, label, def)
  if (some or made[row]) and redis.call('HGET', row, 'state') then
    local r = redis.call('HMGET', row, 'state', 'dueAt', 'requested', 'queue', 'request')
    local duplicate = (r[5] or '') == token and '0' or '1'
    return duplicate .. '\n' .. r[1] .. '\n' .. r[2] .. '\n' .. r[3] .. '\n' .. r[4]
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
  local fields = {'state', state, 'priority', priority, 'dueAt', dueAt, 'queue', queue, 'label', label,
    'requested', id}
  if token ~= '' then add(fields, 'request', token) end
  if #def > 256 then
    add(fields, 'def', def)
  else
    for from = 1, #def, 64 do add(fields, 'def' .. (from + 63) / 64, string.sub(def, from, from + 63)) end
  end
  redis.call('HSET', row, unpack(fields))
  made[row] = true
  local l = lot(queue, number)
  if delay > 0 then
    add(delayed, dueAt, task)
  else
    add(l.waiting, priority, place(id, task))
  end
  return '0\n' .. state .. '\n' .. dueAt .. '\n' .. id .. '\n' .. queue
end

local answers = {}
for n = 1, tasks do
  local i = 8 * n - 6
  answers[n] = try(request, KEYS[4 + n], n, unpack(ARGV, i, i + 7))
end
if #delayed > 0 then redis.call('ZADD', KEYS[2], unpack(delayed)) end
for _, l in ipairs(lots) do
  local waiting = KEYS[4 + tasks + l.first]
  local news = true
  if #l.waiting > 0 then -- a queue that has something waiting is known
    redis.call('ZADD', waiting, unpack(l.waiting))
    news = redis.call('SADD', KEYS[3], l.queue) == 1
  end
  if news and redis.call('SADD', KEYS[4], l.queue) == 1 then
    redis.call('PUBLISH', ARGV[1], 'queue ' .. l.queue)
  end
end
return answers
