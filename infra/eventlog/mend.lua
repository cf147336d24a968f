-- mend.lua: the scheduler holds a task's row against the ledgers and puts back what they lost.
--
-- KEYS  1 task row   2 delayed   3 waiting:<queue>   4 ready   5 due:<queue>   6 leases
-- ARGV  1 task id   2 queue
-- Returns '' when nothing was amiss, else the name of what was put back
--
-- The row is what the log says; delayed, waiting, dispatch and leases only make it quick to find.
-- An active task without a lease gets one that has ended: the sweep then judges it.
-- Repeatable: the second time nothing is amiss.
local r = redis.call('HMGET', KEYS[1], 'state', 'queue', 'priority', 'dueAt', 'requested', 'attempt', 'label')
if r[2] ~= ARGV[2] then return '' end
-- A row that no decision wrote is none.
if not (r[5] and string.find(r[5], '^%d+%-%d+$') and r[7]) then return '' end
if not (tonumber(r[3] or '') and tonumber(r[4] or '') and tonumber(r[6] or 0)) then return '' end
local member = place(r[5], ARGV[1])
if r[1] == 'waiting' or r[1] == 'delayed' or r[1] == 'retrying' then
  if redis.call('ZSCORE', KEYS[3], member) then
    return redis.call('SADD', KEYS[4], ARGV[2]) == 1 and 'ready' or ''
  end
  if redis.call('ZSCORE', KEYS[2], ARGV[1]) then return '' end
  if r[1] == 'waiting' then
    redis.call('ZADD', KEYS[3], r[3], member)
    redis.call('SADD', KEYS[4], ARGV[2])
    return 'waiting'
  end
  redis.call('ZADD', KEYS[2], r[4], ARGV[1])
  return 'delayed'
elseif r[1] == 'due' then
  local id = newest(KEYS[1])
  if #redis.call('XRANGE', KEYS[5], id, id) > 0 then return '' end
  local attempt = int((r[6] or 0) + 1)
  local added = redis.pcall('XADD', KEYS[5], id, 'task', ARGV[1], 'attempt', attempt, 'label', r[7])
  if type(added) == 'table' then -- newer entries stand behind the lost one
    local found = redis.call('XREVRANGE', KEYS[5], '+', '-', 'COUNT', 200)
    for _, entry in ipairs(found) do
      if entry[2][2] == ARGV[1] then return '' end
    end
    redis.call('XADD', KEYS[5], '*', 'task', ARGV[1], 'attempt', attempt, 'label', r[7])
  end
  return 'dispatch'
elseif r[1] == 'active' then
  if redis.call('ZADD', KEYS[6], 'NX', int(clock()), ARGV[1]) == 1 then return 'lease' end
end
return ''
