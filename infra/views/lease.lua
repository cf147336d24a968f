-- lease.lua: a projector takes, extends or gives back the lease of a partition's views.
--
-- KEYS  1 lease
-- ARGV  1 projector   2 lease, ms; 0 gives it back   3 force 0|1: take it from whoever holds it
-- Returns 0 | for how many ms another projector still holds it
--
-- Repeatable: extending twice is extending once, later.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] and ARGV[3] == '0' then
  local left = redis.call('PTTL', KEYS[1])
  if left >= 0 then return math.max(left, 1) end -- one without an end is nobody's
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 0
