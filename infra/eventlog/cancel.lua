-- cancel.lua: somebody does not want the task any more.
--
-- KEYS  1 task row   2 events   3 delayed   4 waiting:<queue>   5 due:<queue>   6 leases
-- ARGV  1 task id   2 queue   3 by and reason, a JSON fragment   4 channel for signals
--       5 how long rows stay after the end of their tasks, ms   6 the last retry when this was asked for, or ''
-- Returns {'ok', entry id of TaskCancelled} | {'refused', state} | {'retried', state} | {'missing'} | {'moved', queue}
--
-- A task that runs is cancelled at once, and its worker is told: a signal that is lost costs time
-- only, for the next extension of the lease is refused. The lock stays until the worker lets go of
-- it, so that a requested retry does not start beside the old attempt.
-- Repeatable: a cancelled task answers with the entry id that it has, and one that was retried since is let alone.
-- The first ZREM removes nothing, but after it Redis lets the script write even when it is out of memory: then, too,
-- an operator must be able to get rid of what waits.
local r = redis.call('HMGET', KEYS[1], 'state', 'queue', 'label', 'requested', 'retry')
if not r[1] then return {'missing'} end
if r[1] == 'cancelled' then return {'ok', newest(KEYS[1])} end
if r[1] == 'completed' or r[1] == 'failed' then return {'refused', r[1]} end
if r[2] ~= ARGV[2] then return {'moved', r[2]} end
if (r[5] or '') ~= ARGV[6] then return {'retried', r[1]} end

local due = r[1] == 'due' and newest(KEYS[1]) -- what its dispatch entry is named by, too
redis.call('ZREM', KEYS[6], '')
local id = append(KEYS[2], 'TaskCancelled', ARGV[1], '{' .. r[3] .. ',' .. ARGV[3] .. ',"from":"' .. r[1] .. '"}')
redis.call('HSET', KEYS[1], 'state', 'cancelled', id, '')
keep(KEYS[1], id, ARGV[5])
if r[1] == 'active' then
  redis.call('HDEL', KEYS[1], 'token')
  redis.call('ZREM', KEYS[6], ARGV[1])
  redis.call('PUBLISH', ARGV[4], 'cancel ' .. ARGV[1])
elseif due then
  redis.call('XACK', KEYS[5], 'workers', due)
  redis.call('XDEL', KEYS[5], due)
else
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('ZREM', KEYS[4], place(r[4], ARGV[1]))
end
return {'ok', id}
