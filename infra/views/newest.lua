-- newest.lua: a listing goes on in the list of a queue's completed tasks, which is ordered by time.
--
-- KEYS  1 list of "<ms> <task>", oldest first
-- ARGV  1 ms   2 how many at the most
-- Returns the newest entries that are not newer than ms, oldest first
--
-- Repeatable: it writes nothing.
local n = redis.call('LLEN', KEYS[1])
local function at(i) return tonumber(string.match(redis.call('LINDEX', KEYS[1], i), '^%d+')) end
local low, high, ms = n, n, tonumber(ARGV[1])
local step = 1 -- most listings are near the end: look there first, and then twice as far each time
while low > 0 and at(low - 1) > ms do
  high, low, step = low - 1, math.max(0, low - 1 - step), step * 2
end
while low < high do -- all before low are old enough, none from high on is
  local middle = math.floor((low + high) / 2)
  if at(middle) <= ms then low = middle + 1 else high = middle end
end
if low == 0 then return {} end
return redis.call('LRANGE', KEYS[1], math.max(0, low - ARGV[2]), low - 1)
