-- reset.lua: the views of a partition are thrown away, to be made again from the log.
--
-- KEYS  1 head   2 lease   3 … the hashes of the views
-- ARGV  1 projector   2 lease, ms   3 version   4 force 0|1: take the lease from whoever holds it
-- Returns the new generation | 0, another projector holds the lease
--
-- The generation is a time, and greater than the one before: so it was never used, even where head
-- was lost, and nothing that was written for an older one is taken for new. The zsets of the old
-- generation are left to be swept, for they are many and their names are not known here.
-- Repeatable: views that were thrown away twice are made again once more.
local holder = redis.call('GET', KEYS[2])
if ARGV[4] == '0' and holder and holder ~= ARGV[1] then return 0 end
local before = redis.pcall('HGET', KEYS[1], 'generation')
if type(before) ~= 'string' then before = '' end
local t = redis.call('TIME')
local generation = math.max(t[1] * 1000 + math.floor(t[2] / 1000), (tonumber(before) or 0) + 1)

redis.call('DEL', KEYS[1])
for k = 3, #KEYS do redis.call('DEL', KEYS[k]) end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('HSET', KEYS[1], 'version', ARGV[3], 'generation', string.format('%.0f', generation),
  'checkpoint', '0-0', 'read', '0', 'skipped', '0', 'missed', '0', 'swept', '0')
return generation
