-- tally.lua: the scheduler notes, as it reads the log, which tasks are over.
--
-- KEYS  1 readers
--       2 … finished:<queue> of each task
-- ARGV  1 name among the readers   2 entry id up to which the log was noted ('0-0': nothing was)
--       3 entry id up to which it is noted now, then for each task, in the order of the log:
--       4 task id   5 order of its end ('': it is under way again)
-- Returns {"ok"} | {"moved"}: it is noted up to another entry
--
-- Repeatable: what is noted already is not noted again. The HDEL removes nothing, but after it Redis lets
-- the script write even when it is out of memory: rows can go only when it is known which. A queue whose
-- key is no ledger of ours must not stop the others.
local at = redis.call('HGET', KEYS[1], ARGV[1]) or '0-0'
if at == ARGV[3] then return {'ok'} end
if at ~= ARGV[2] then return {'moved'} end
redis.call('HDEL', KEYS[1], '')
for i = 2, #KEYS do
  local task, ended = ARGV[2 * i], ARGV[2 * i + 1]
  if ended == '' then
    redis.pcall('ZREM', KEYS[i], task)
  else
    redis.pcall('ZADD', KEYS[i], ended, task)
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return {'ok'}
