-- start.lua: a worker takes the mutexes of tasks and starts the attempts that became due in a queue.
--
-- KEYS  1 events   2 leases   3 due:<queue>
--       4 … task rows, then as many locks
-- ARGV  1 lease, and what a mutex lives, ms   2 worker id   3 worker, a JSON fragment, then for each task:
--       1 task id   2 attempt   3 token, the value of the mutex   4 entry id in the dispatch stream
-- Returns for each task the lines
--       ok, label, attempts that count, due at, lease end, entry id of TaskStarted,
--         definition ('': too large for an answer that others share)
--       | stale, state, attempt   the entry is not, or no longer, an attempt: it was removed
--       | locked                  the mutex is held by another: nothing happened
--       | error, why
--
-- Repeatable: an active row with this attempt and this token answers as at the first time, and its
-- lease and its mutex end when the answer says; a mutex that has this token is ours already.
local tasks = (#ARGV - 3) / 4
local now = clock()
local expiry = int(now + ARGV[1])
local leases, settled = {}, {}

-- hold takes a mutex for so long. It reports whether it has the token.
local function hold(lock, token)
  if redis.call('SET', lock, token, 'NX', 'PX', ARGV[1]) then return true end
  if redis.call('GET', lock) ~= token then return false end
  redis.call('PEXPIRE', lock, ARGV[1])
  return true
end

local function start(row, lock, task, number, token, entry)
  local r = redis.call('HMGET', row, 'state', 'attempt', 'token', 'dueAt', 'label', 'uncounted',
    'def1', 'def2', 'def3', 'def4')
  local attempt = tonumber(number)
  local id
  if r[1] == 'active' and tonumber(r[2]) == attempt and r[3] == token then
    id = newest(row)
    pcall(hold, lock, token) -- the attempt goes on without it, too, where Redis has no room
  elseif r[1] ~= 'due' or (r[2] or 0) + 1 ~= attempt then
    add(settled, entry)
    return 'stale\n' .. (r[1] or '') .. '\n' .. (r[2] or '0')
  elseif not hold(lock, token) then
    return 'locked'
  else
    id = append(KEYS[1], 'TaskStarted', task, '{' .. r[5] .. ',"attempt":' .. number .. ',' .. ARGV[3] ..
      ',"token":"' .. token .. '","waitMs":' .. int(math.max(0, now - r[4])) .. '}')
    redis.call('HSET', row, 'state', 'active', 'attempt', number, 'token', token, 'worker', ARGV[2], id, '')
    add(settled, entry)
  end
  add(leases, expiry, task)
  local counted = r[6] and int(attempt - r[6]) or number
  local pieces = 6
  while r[pieces + 1] do pieces = pieces + 1 end
  local def = table.concat(r, '', 7, pieces)
  return 'ok\n' .. r[5] .. '\n' .. counted .. '\n' .. r[4] .. '\n' .. expiry .. '\n' .. id .. '\n' .. def
end

local answers = {}
for n = 1, tasks do
  local i = 4 * n
  answers[n] = try(start, KEYS[3 + n], KEYS[3 + tasks + n], unpack(ARGV, i, i + 3))
end
if #leases > 0 then redis.call('ZADD', KEYS[2], unpack(leases)) end
if #settled > 0 then
  redis.call('XACK', KEYS[3], 'workers', unpack(settled))
  redis.call('XDEL', KEYS[3], unpack(settled))
end
return answers
