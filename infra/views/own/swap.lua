-- swap.lua: a version of a view is served from now on, and no older one can be stored any more.
--
-- KEYS  1 view
-- ARGV  1 version
-- Returns 1 | 0, it or a greater one is served already
--
-- In partition 0 this decides; after that, elsewhere, it follows.
-- Repeatable: what is served stays served until a greater one is.
local served = redis.call('HGET', KEYS[1], 'version')
if served and tonumber(served) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1])
return 1
