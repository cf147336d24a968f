-- finish.lua: the worker that runs an attempt says how it ended.
--
-- KEYS  1 task row   2 events   3 leases   4 lock   5 delayed
-- ARGV  1 task id   2 attempt   3 token   4 TaskCompleted | TaskFailed
--       5 the rest of the body, a JSON fragment   6 delay of the retry, ms ('': final)
-- Returns the lines ok, state, due at, entry id | {'fenced', state, attempt of the row}
--
-- Fenced by the row and not by the lock: a lock that merely expired, with nobody else started,
-- costs nothing. Repeatable: a row that has this token but is not active was ended by this very
-- call, because whoever else ends an attempt changes the token. The lease goes first: after a
-- ZREM Redis lets the script write even when it is out of memory, and what runs must be able to end.
local r = redis.call('HMGET', KEYS[1], 'state', 'attempt', 'token', 'label', 'events', 'dueAt')
if tonumber(r[2] or 0) ~= tonumber(ARGV[2]) or r[3] ~= ARGV[3] then
  return {'fenced', r[1] or '', r[2] or 0}
end
if r[1] ~= 'active' then return {'ok', r[1], r[6], last(r[5])} end

local dueAt, state = r[6], 'completed'
local data = '{' .. r[4] .. ',"attempt":' .. ARGV[2] .. ',' .. ARGV[5]
if ARGV[6] ~= '' then
  state, dueAt = 'retrying', int(clock() + ARGV[6])
  data = data .. ',"retryAt":' .. dueAt
elseif ARGV[4] == 'TaskFailed' then
  state = 'failed'
end

redis.call('ZREM', KEYS[3], ARGV[1])
local id = append(KEYS[2], ARGV[4], ARGV[1], data .. '}')
redis.call('HSET', KEYS[1], 'state', state, 'dueAt', dueAt, 'events', r[5] .. ' ' .. id)
if state == 'retrying' then redis.call('ZADD', KEYS[5], dueAt, ARGV[1]) end
if redis.call('GET', KEYS[4]) == ARGV[3] then redis.call('DEL', KEYS[4]) end
return 'ok\n' .. state .. '\n' .. dueAt .. '\n' .. id
