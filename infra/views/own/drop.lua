-- drop.lua: a version of a view goes, with all of its keys in a partition.
--
-- KEYS  1 view   2 lease   3 head   4 readers   5 fields
-- ARGV  1 its name among the readers   2 1: only when nobody keeps it, 0: it is over
-- Returns 0 | for how many ms somebody still keeps it
--
-- Repeatable: what is gone is gone.
if ARGV[2] == '1' then
  local left = redis.call('PTTL', KEYS[2])
  if left >= 0 then return math.max(left, 1) end -- one without an end is nobody's
end
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[5])
redis.call('HDEL', KEYS[4], ARGV[1])
return 0
