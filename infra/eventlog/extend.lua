-- extend.lua: a worker that still holds attempts asks for more time, for all of them at once.
--
-- KEYS  1 leases, then for each attempt: task row, lock
-- ARGV  1 lease, ms, then for each attempt: task id, attempt, token
-- Returns {lease end, then for each attempt: '' (extended) or the state of the row that fences it}
--
-- A lock that expired while the attempt went on is taken again, unless somebody else has it: the
-- row is what counts. Repeatable: extending twice is extending once, later. The ZREM removes nothing,
-- but after it Redis lets the script write even when it is out of memory: what runs must go on.
redis.call('ZREM', KEYS[1], '')
local expiry = int(clock() + ARGV[1])
local answer = {expiry}
for i = 2, #ARGV, 3 do
  local n = (i - 2) / 3
  local row, lock = KEYS[2 + 2 * n], KEYS[3 + 2 * n]
  local r = redis.call('HMGET', row, 'state', 'attempt', 'token')
  if r[1] == 'active' and tonumber(r[2]) == tonumber(ARGV[i + 1]) and r[3] == ARGV[i + 2] then
    redis.call('ZADD', KEYS[1], expiry, ARGV[i])
    if redis.call('GET', lock) == ARGV[i + 2] then
      redis.call('PEXPIRE', lock, ARGV[1])
    else
      redis.call('SET', lock, ARGV[i + 2], 'NX', 'PX', ARGV[1])
    end
    answer[#answer + 1] = ''
  else
    answer[#answer + 1] = r[1] or 'missing'
  end
end
return answer
