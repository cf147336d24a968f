-- shadow.lua: a piece of the views is written beside those that are stored.
--
-- KEYS  1 shadow of the generation   2 … a key for each operation
-- ARGV  1 for how long the shadow is kept when nobody writes it, ms   2 which piece this is, counted from 1
--       3 … for each operation: a command, the number of its arguments after the key, these
-- Returns 'ok' | 'moved', nobody wrote it for too long, and what there is of it goes
--
-- Which piece came last is written last: should an operation fail, the shadow is of no use any more.
-- The caller sends at most some 2000 members and fields, and one piece after the other.
-- Repeatable: the piece that came last is not written again.
local last = redis.call('GET', KEYS[1])
if last == ARGV[2] then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  return 'ok'
end
if not last or tonumber(last) ~= tonumber(ARGV[2]) - 1 then return 'moved' end
local at = 3
for k = 2, #KEYS do
  local n = tonumber(ARGV[at + 1])
  redis.call(ARGV[at], KEYS[k], unpack(ARGV, at + 2, at + 1 + n))
  at = at + 2 + n
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[1])
return 'ok'
