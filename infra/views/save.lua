-- save.lua: a projector stores the views as they are after some events, and their checkpoint.
--
-- KEYS  1 head   2 lease   3 … a key for each operation
-- ARGV  1 projector   2 lease, ms   3 generation   4 checkpoint before   5 checkpoint now
--       6 entries read   7 entries skipped   8 entries missed
--       9 … for each operation: a command, the number of its arguments after the key, these
-- Returns 'ok' | 'held', another projector has the lease | 'moved', the views stand elsewhere
--
-- An operation says what is and not what changed, and head is written last: should one fail, on a key
-- that is not ours, then head does not say what is not there. The caller then makes the views again.
-- The caller sends at most some 2000 members and fields.
-- Repeatable: views are a function of their generation and checkpoint; those that stand at the new
-- checkpoint already are these.
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return 'held' end
local head = redis.call('HMGET', KEYS[1], 'generation', 'checkpoint')
if head[1] ~= ARGV[3] then return 'moved' end
if head[2] == ARGV[5] then return 'ok' end
if head[2] ~= ARGV[4] then return 'moved' end

local at = 9
for k = 3, #KEYS do
  local n = tonumber(ARGV[at + 1])
  redis.call(ARGV[at], KEYS[k], unpack(ARGV, at + 2, at + 1 + n))
  at = at + 2 + n
end
redis.call('HSET', KEYS[1], 'checkpoint', ARGV[5], 'read', ARGV[6], 'skipped', ARGV[7], 'missed', ARGV[8])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 'ok'
