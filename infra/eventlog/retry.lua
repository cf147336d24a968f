-- retry.lua: a person opens a failed or cancelled task again, with all its attempts.
--
-- KEYS  1 task row   2 events   3 waiting:<queue>   4 ready
-- ARGV  1 task id   2 queue   3 request id   4 by and request id, a JSON fragment
-- Returns {'ok', entry id of TaskRetryRequested} | {'refused', state} | {'missing'} | {'moved', queue}
--
-- Repeatable: the row keeps the request id of the last retry and the entry id that it got.
local r = redis.call('HMGET', KEYS[1], 'state', 'queue', 'label', 'requested', 'attempt', 'priority', 'retry')
if not r[1] then return {'missing'} end
local request, id = string.match(r[7] or '', '^(.*) (%S+)$')
if request == ARGV[3] then return {'ok', id} end
if r[1] ~= 'failed' and r[1] ~= 'cancelled' then return {'refused', r[1]} end
if r[2] ~= ARGV[2] then return {'moved', r[2]} end

id = append(KEYS[2], 'TaskRetryRequested', ARGV[1], '{' .. r[3] .. ',' .. ARGV[4] .. ',"from":"' .. r[1] .. '"}')
redis.call('HSET', KEYS[1], 'state', 'waiting', 'uncounted', r[5] or '0', 'dueAt', msOf(id),
  'retry', ARGV[3] .. ' ' .. id, id, '')
redis.call('PERSIST', KEYS[1])
redis.call('ZADD', KEYS[3], r[6], place(r[4], ARGV[1]))
redis.call('SADD', KEYS[4], ARGV[2])
return {'ok', id}
