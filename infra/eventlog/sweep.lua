-- sweep.lua: the scheduler looks for attempts whose lease has ended.
--
-- KEYS  1 leases   2 swept, the time of the last sweep
-- ARGV  1 the longest time between sweeps after which leases can be judged, ms
--       2 lease, ms   3 how many at the most
-- Returns {now, number of leases given more time, end of the earliest lease or '', tasks with an ended lease …}
--
-- If nobody swept for longer than that (Redis or every scheduler was away), the workers could not
-- extend either: every lease that has less than half its time to go first gets all of it. Half, and not
-- whatever is short of all: the next page would find those of this one again, a ms short, without end.
-- Repeatable: it appends nothing, and giving time twice is giving it once, later. The ZREM removes
-- nothing, but after it Redis lets the script write even when it is out of memory.
redis.call('ZREM', KEYS[1], '')
local now = clock()
local swept = redis.call('SET', KEYS[2], int(now), 'GET')
if swept and now - swept > tonumber(ARGV[1]) then
  local short = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. int(now + ARGV[2] / 2), 'LIMIT', 0, ARGV[3])
  for _, task in ipairs(short) do redis.call('ZADD', KEYS[1], int(now + ARGV[2]), task) end
  if #short == tonumber(ARGV[3]) then redis.call('SET', KEYS[2], swept) end -- the next page is judged by it, too
  return {int(now), #short, ''}
end
local answer = {int(now), 0, ''}
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if head[2] then
  answer[3] = int(head[2])
  for _, task in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', int(now), 'LIMIT', 0, ARGV[3])) do
    answer[#answer + 1] = task
  end
end
return answer
