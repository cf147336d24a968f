-- start.lua: a worker that holds the task's mutex starts the attempt that became due.
--
-- KEYS  1 task row   2 events   3 leases   4 lock   5 due:<queue>
-- ARGV  1 task id   2 attempt   3 token, the value of the mutex   4 lease, ms
--       5 worker id   6 worker, a JSON fragment   7 entry id in the dispatch stream
--       8 1: the definition is wanted, 0: the dispatch entry had it
-- Returns the lines ok, label, attempts that count, due at, lease end, entry id of TaskStarted, definition or ''
--       | {'stale', state, attempt}   the entry is not, or no longer, an attempt: it was removed
--       | {'unlocked'}                the mutex is not ours: nothing happened
--
-- Repeatable: an active row with this attempt and this token answers as at the first time, and its
-- lease ends when the answer says.
local r = redis.call('HMGET', KEYS[1], 'state', 'attempt', 'token', 'dueAt', 'label', 'uncounted', 'events')
local attempt = tonumber(ARGV[2])
local now = clock()
local expiry = int(now + ARGV[4])

local function answer(id)
  local counted = r[6] and int(attempt - r[6]) or ARGV[2]
  local def = ARGV[8] == '1' and redis.call('HGET', KEYS[1], 'def') or ''
  return 'ok\n' .. r[5] .. '\n' .. counted .. '\n' .. r[4] .. '\n' .. expiry .. '\n' .. id .. '\n' .. def
end
local function settle()
  redis.call('XACK', KEYS[5], 'workers', ARGV[7])
  redis.call('XDEL', KEYS[5], ARGV[7])
end

if r[1] == 'active' and tonumber(r[2]) == attempt and r[3] == ARGV[3] then
  redis.call('ZADD', KEYS[3], expiry, ARGV[1])
  return answer(last(r[7]))
end
if r[1] ~= 'due' or (r[2] or 0) + 1 ~= attempt then
  settle()
  return {'stale', r[1] or '', r[2] or 0}
end
if redis.call('GET', KEYS[4]) ~= ARGV[3] then return {'unlocked'} end

local id = append(KEYS[2], 'TaskStarted', ARGV[1], '{' .. r[5] .. ',"attempt":' .. ARGV[2] .. ',' .. ARGV[6] ..
  ',"token":"' .. ARGV[3] .. '","waitMs":' .. int(math.max(0, now - r[4])) .. '}')
redis.call('HSET', KEYS[1], 'state', 'active', 'attempt', ARGV[2], 'token', ARGV[3], 'worker', ARGV[5],
  'events', r[7] .. ' ' .. id)
redis.call('ZADD', KEYS[3], expiry, ARGV[1])
settle()
return answer(id)
