-- begin.lua: a version of a view is made from the beginning of the log, and what there was of it thrown away.
--
-- KEYS  1 view   2 lease   3 head   4 readers   5 fields
-- ARGV  1 keeper   2 lease, ms   3 version   4 its name among the readers
-- Returns {'ok', generation} | {'held'}, another keeper has the lease | {'over', version that is served}
--
-- The generation is a time, and greater than the one before: nothing that was read before is stored after.
-- Repeatable: what was thrown away twice is made again once more.
local served = redis.call('HGET', KEYS[1], 'version')
if served and tonumber(served) > tonumber(ARGV[3]) then return {'over', served} end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return {'held'} end
local before = redis.pcall('HGET', KEYS[3], 'generation')
if type(before) ~= 'string' then before = '' end
local t = redis.call('TIME')
local generation = string.format('%.0f', math.max(t[1] * 1000 + math.floor(t[2] / 1000), (tonumber(before) or 0) + 1))

redis.call('HSET', KEYS[4], ARGV[4], '0-0')
redis.call('UNLINK', KEYS[3], KEYS[5])
redis.call('HSET', KEYS[3], 'generation', generation, 'checkpoint', '0-0', 'read', '0', 'skipped', '0', 'missed', '0')
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {'ok', generation}
