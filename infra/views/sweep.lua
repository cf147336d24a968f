-- sweep.lua: a key of views goes, unless they are stored or being made.
--
-- KEYS  1 head   2 shadow of the key's generation   3 the key
-- ARGV  1 generation in the key's name
-- Returns 'ok' | 'made', somebody makes views of this generation
--
-- Repeatable: what is gone stays gone, for no generation is used twice.
if redis.call('HGET', KEYS[1], 'index') == ARGV[1] then return 'ok' end
if redis.call('EXISTS', KEYS[2]) == 1 then return 'made' end
redis.call('UNLINK', KEYS[3])
return 'ok'
