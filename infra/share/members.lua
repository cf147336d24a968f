-- members.lua: a member of a service says that it is there, and hears who is.
--
-- KEYS  1 members, a hash: member → when it was there last, ms of Redis' clock
-- ARGV  1 member   2 after how many ms one that is silent is forgotten; 0 signs off
-- Returns the members
--
-- Repeatable: the last word counts. The HDEL removes nothing, but after it Redis lets the script write even
-- when it is out of memory.
if ARGV[2] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return {}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HDEL', KEYS[1], '')
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now))
local there, all = {}, redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local seen = tonumber(all[i + 1])
  if seen and seen <= now and seen > now - ARGV[2] then -- one from the future says it again: the clock went back
    there[#there + 1] = all[i]
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return there
