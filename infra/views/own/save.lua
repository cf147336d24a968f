-- save.lua: a keeper stores a version of a view as it is after some entries, and its checkpoint.
--
-- KEYS  1 view   2 lease   3 head   4 readers   5 fields
-- ARGV  1 keeper   2 lease, ms   3 version   4 its name among the readers
--       5 generation   6 checkpoint before   7 checkpoint now
--       8 entries read   9 entries skipped   10 entries missed
--       11 how many of the following are fields and their values; the rest are fields that are gone
-- Returns 'ok' | 'held', another keeper has the lease | 'moved', the view stands elsewhere
--       | 'over <version that is served>'
--
-- head is written last: should something before it fail, on a key that is not ours, then it does not say
-- what is not there, and the view is made again. The caller sends what some hundred entries changed.
-- Repeatable: a view is a function of its generation and checkpoint; one that stands at the new checkpoint
-- already is this.
local served = redis.call('HGET', KEYS[1], 'version')
if served and tonumber(served) > tonumber(ARGV[3]) then return 'over ' .. served end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return 'held' end
local head = redis.call('HMGET', KEYS[3], 'generation', 'checkpoint')
if head[1] ~= ARGV[5] then return 'moved' end
if head[2] == ARGV[7] then return 'ok' end
if head[2] ~= ARGV[6] then return 'moved' end

redis.call('HSET', KEYS[4], ARGV[4], ARGV[7])
local set = 11 + ARGV[11]
local function each(command, from, to) -- Lua's stack bounds the arguments of one command
  for i = from, to, 2000 do
    redis.call(command, KEYS[5], unpack(ARGV, i, math.min(i + 1999, to)))
  end
end
each('HSET', 12, set)
each('HDEL', set + 1, #ARGV)
redis.call('HSET', KEYS[3], 'checkpoint', ARGV[7], 'read', ARGV[8], 'skipped', ARGV[9], 'missed', ARGV[10])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 'ok'
