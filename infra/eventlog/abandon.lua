-- abandon.lua: the scheduler ends an attempt whose worker stopped extending its lease.
--
-- KEYS  1 task row   2 events   3 leases   4 lock   5 delayed
-- ARGV  1 task id   2 attempt   3 the rest of the body, a JSON fragment   4 delay of the retry, ms ('': final)
--       5 how long rows stay after the end of their tasks, ms
-- Returns {'ok', state, due at, entry id} | {'fenced', state, attempt of the row}
--
-- A completion or an extension that came in between wins: the row must be active in this attempt
-- and the lease over by Redis' clock. Repeatable: once abandoned, the row is not active.
local r = redis.call('HMGET', KEYS[1], 'state', 'attempt', 'token', 'label', 'dueAt')
local lease = redis.call('ZSCORE', KEYS[3], ARGV[1])
local now = clock()
if r[1] ~= 'active' then
  if lease then redis.call('ZREM', KEYS[3], ARGV[1]) end -- a lease of nobody
  return {'fenced', r[1] or '', r[2] or 0}
end
if tonumber(r[2]) ~= tonumber(ARGV[2]) or not lease or tonumber(lease) > now then
  return {'fenced', r[1], r[2]}
end

local dueAt, state = r[5], 'failed'
local data = '{' .. r[4] .. ',"attempt":' .. ARGV[2] .. ',' .. ARGV[3]
if ARGV[4] ~= '' then
  state, dueAt = 'retrying', int(now + ARGV[4])
  data = data .. ',"retryAt":' .. dueAt
end
redis.call('ZREM', KEYS[3], ARGV[1])
local id = append(KEYS[2], 'TaskFailed', ARGV[1], data .. '}')
redis.call('HSET', KEYS[1], 'state', state, 'dueAt', dueAt, id, '')
redis.call('HDEL', KEYS[1], 'token')
if state == 'retrying' then
  redis.call('ZADD', KEYS[5], dueAt, ARGV[1])
else
  keep(KEYS[1], id, ARGV[5])
end
if r[3] and redis.call('GET', KEYS[4]) == r[3] then redis.call('DEL', KEYS[4]) end
return {'ok', state, dueAt, id}
