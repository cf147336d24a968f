-- finish.lua: workers that run attempts say how these ended.
--
-- KEYS  1 events   2 leases   3 delayed
--       4 … task rows, then as many locks
-- ARGV  1 how long rows stay after the end of their tasks, ms
--       2 … for each task: task id, attempt, token, TaskCompleted | TaskFailed,
--       the rest of the body, a JSON fragment, delay of the retry, ms ('': final)
-- Returns for each task the lines ok, state, due at ('' unless it is retrying), entry id | fenced, state, attempt of the row
--       | error, why
--
-- Fenced by the row and not by the lock: a lock that merely expired, with nobody else started,
-- costs nothing. Repeatable: a row that has this token but is not active was ended by this very
-- call, because whoever else ends an attempt changes the token.
local tasks = (#ARGV - 1) / 6
local now = clock()
local ended, locks, tokens, delayed = {}, {}, {}, {}

local function finish(row, lock, task, attempt, token, kind, rest, delay)
  local r = redis.call('HMGET', row, 'state', 'attempt', 'token', 'label')
  if tonumber(r[2] or 0) ~= tonumber(attempt) or r[3] ~= token then
    return 'fenced\n' .. (r[1] or '') .. '\n' .. (r[2] or '0')
  end
  if r[1] ~= 'active' then
    return 'ok\n' .. r[1] .. '\n' .. (r[1] == 'retrying' and redis.call('HGET', row, 'dueAt') or '') .. '\n' .. newest(row)
  end

  local dueAt, state = '', 'completed'
  local data = '{' .. r[4] .. ',"attempt":' .. attempt .. ',' .. rest
  if delay ~= '' then
    state, dueAt = 'retrying', int(now + delay)
    data = data .. ',"retryAt":' .. dueAt
  elseif kind == 'TaskFailed' then
    state = 'failed'
  end
  local id = append(KEYS[1], kind, task, data .. '}')
  redis.call('HSET', row, 'state', state, id, '')
  if state == 'completed' then -- it never starts again: what it was asked for is in the log
    redis.call('HDEL', row, 'def', 'def1', 'def2', 'def3', 'def4')
  end
  add(ended, task)
  add(locks, lock)
  add(tokens, token)
  if state == 'retrying' then
    redis.call('HSET', row, 'dueAt', dueAt)
    add(delayed, dueAt, task)
  else
    keep(row, id, ARGV[1])
  end
  return 'ok\n' .. state .. '\n' .. dueAt .. '\n' .. id
end

-- This removes nothing, but after it Redis lets the script write even when it is out of memory, and
-- what runs must be able to end.
redis.call('ZREM', KEYS[2], '')
local answers = {}
for n = 1, tasks do
  local i = 6 * n - 4
  answers[n] = try(finish, KEYS[3 + n], KEYS[3 + tasks + n], unpack(ARGV, i, i + 5))
end
if #ended == 0 then return answers end
redis.call('ZREM', KEYS[2], unpack(ended))
if #delayed > 0 then redis.call('ZADD', KEYS[3], unpack(delayed)) end
local held, ours = redis.call('MGET', unpack(locks)), {}
for n, lock in ipairs(locks) do
  if held[n] == tokens[n] then add(ours, lock) end
end
if #ours > 0 then redis.call('DEL', unpack(ours)) end
return answers
