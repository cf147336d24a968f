-- release.lua: a worker gives a task back: one that it has not started (it got the dispatch entry
-- but stops, or has no handler), or one that it runs and cannot finish before it stops.
--
-- KEYS  1 task row   2 events   3 leases   4 lock   5 delayed   6 waiting:<queue>   7 ready   8 due:<queue>
-- ARGV  1 task id   2 attempt   3 token ('': the attempt was not started)
--       4 the rest of the body, a JSON fragment   5 delay, ms ('': at once)   6 queue
--       7 entry id in the dispatch stream ('': the attempt was started)
-- Returns {'ok', state, due at, entry id} | {'fenced', state, attempt of the row}
--
-- Repeatable: a row whose token says that this attempt was released answers as it stands now; an
-- attempt that was not started is released by whoever removes its dispatch entry, and that happens
-- once. The ledgers go first: after a write Redis lets the script append even when it is out of
-- memory, and a worker that stops must be able to let go.
local r = redis.call('HMGET', KEYS[1], 'state', 'attempt', 'token', 'label', 'requested', 'uncounted', 'priority', 'dueAt')
local attempt = tonumber(ARGV[2])
local started = ARGV[3] ~= ''
local from = started and 'active' or 'due'
local fenced = {'fenced', r[1] or '', r[2] or 0}
if not r[1] then return fenced end
if started then
  if tonumber(r[2]) ~= attempt then return fenced end
  if r[3] == 'released ' .. ARGV[3] then return {'ok', r[1], r[8], newest(KEYS[1])} end
  if r[1] ~= 'active' or r[3] ~= ARGV[3] then return fenced end
  redis.call('ZREM', KEYS[3], ARGV[1])
else
  redis.call('XACK', KEYS[8], 'workers', ARGV[7])
  local removed = redis.call('XDEL', KEYS[8], ARGV[7])
  if (r[2] or 0) + 1 ~= attempt then return fenced end
  if removed == 0 then return {'ok', r[1], r[8], newest(KEYS[1])} end
  if r[1] ~= 'due' then return fenced end
end

local now = clock()
local data = '{' .. r[4] .. ',"attempt":' .. ARGV[2] .. ',' .. ARGV[4] .. ',"from":"' .. from .. '"'
local state = 'waiting'
if ARGV[5] ~= '' then
  state = 'retrying'
  data = data .. ',"retryAt":' .. int(now + ARGV[5])
end
local id = append(KEYS[2], 'TaskReleased', ARGV[1], data .. '}')
local dueAt = state == 'retrying' and int(now + ARGV[5]) or msOf(id)
redis.call('HSET', KEYS[1], 'state', state, 'dueAt', dueAt, id, '')
if started then
  redis.call('HSET', KEYS[1], 'uncounted', int((r[6] or 0) + 1), 'token', 'released ' .. ARGV[3])
  if redis.call('GET', KEYS[4]) == ARGV[3] then redis.call('DEL', KEYS[4]) end
end
if state == 'retrying' then
  redis.call('ZADD', KEYS[5], dueAt, ARGV[1])
else
  redis.call('ZADD', KEYS[6], r[7], place(r[5], ARGV[1]))
  redis.call('SADD', KEYS[7], ARGV[6])
end
return {'ok', state, dueAt, id}
