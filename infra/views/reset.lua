-- reset.lua: the views of a partition are thrown away, to be made again from the log.
--
-- KEYS  1 head   2 lease   3 shadow of the generation   4 … the hashes of the views
-- ARGV  1 projector   2 lease, ms   3 version   4 generation
-- Returns 'ok' | 'held', another projector has the lease | 'moved', the generation is not to be had any more
--
-- The keys of the old index are left to be swept, for they are many and their names are not known here.
-- Repeatable: a generation that is stored already is this one.
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return 'held' end
if redis.pcall('HGET', KEYS[1], 'generation') == ARGV[4] then return 'ok' end
if redis.call('GET', KEYS[3]) ~= '0' then return 'moved' end

for k = 3, #KEYS do redis.call('UNLINK', KEYS[k]) end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('HSET', KEYS[1], 'version', ARGV[3], 'generation', ARGV[4], 'index', ARGV[4],
  'checkpoint', '0-0', 'read', '0', 'skipped', '0', 'missed', '0', 'swept', '0')
return 'ok'
