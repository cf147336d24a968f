-- swap.lua: views that were made beside those that are stored take their place.
--
-- KEYS  1 head   2 shadow of the generation   3, 4 … for each view: the new hash, the stored one
-- ARGV  1 generation   2 which piece of the shadow came last   3 generation of the stored views, or ''
--       4 their checkpoint, or ''   5 whole 0|1: head is new, too   6 … fields of head, and their values
-- Returns 'ok' | 'moved', the stored views are others, or the shadow is not whole
--
-- The index has the generation in the names of its keys: head says which one it is. What the old one
-- was is swept. A view without a field has no hash.
-- Repeatable: a generation that is stored already is this one.
local head = redis.pcall('HMGET', KEYS[1], 'generation', 'checkpoint')
if head.err then head = {} end
if head[1] == ARGV[1] then return 'ok' end
if (head[1] or '') ~= ARGV[3] or (head[2] or '') ~= ARGV[4] then return 'moved' end
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 'moved' end

for k = 3, #KEYS, 2 do
  redis.call('UNLINK', KEYS[k + 1])
  if redis.call('EXISTS', KEYS[k]) == 1 then redis.call('RENAME', KEYS[k], KEYS[k + 1]) end
end
if ARGV[5] == '1' then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], unpack(ARGV, 6))
redis.call('DEL', KEYS[2])
return 'ok'
