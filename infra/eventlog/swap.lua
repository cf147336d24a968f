-- swap.lua: a gate is shut, opened or taken over.
--
-- KEYS  1 gate
-- ARGV  1 what it must hold ('': it is open)   2 what it is to hold ('': open it)
-- Returns {"ok"} | {"other", what it holds}
--
-- Repeatable: a gate that holds what it is to hold is left alone.
local have = redis.call('GET', KEYS[1]) or ''
if have == ARGV[2] then return {'ok'} end
if have ~= ARGV[1] then return {'other', have} end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2])
end
return {'ok'}
