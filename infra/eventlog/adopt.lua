-- adopt.lua: entries of another log are appended as they are, behind a gate that keeps all others out.
--
-- KEYS  1 events   2 gate
-- ARGV  1 what the gate must hold   2 how many entries the log has before the first of these
--       3 … for each entry: id, how many names and values, the names and values in turn
-- Returns {"ok", how many entries the log has} | {"moved"} | {"behind", how many entries the log has}
--
-- Repeatable: the number of entries says which of them are there already. Nobody else appends or trims.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return {'moved'} end
local have, n = redis.call('XLEN', KEYS[1]), tonumber(ARGV[2])
if have < n then return {'behind', have} end
local i = 3
while i <= #ARGV do
  local next = i + 2 + ARGV[i + 1]
  if n >= have then redis.call('XADD', KEYS[1], ARGV[i], unpack(ARGV, i + 2, next - 1)) end
  n, i = n + 1, next
end
return {'ok', math.max(n, have)}
