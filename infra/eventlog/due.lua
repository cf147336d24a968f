-- due.lua: the scheduler hands the best waiting tasks of a queue to its workers.
--
-- KEYS  1 events   2 waiting:<queue>   3 due:<queue>   4 ready   5 paused
--       6 … task rows
-- ARGV  1 queue   2 room: how many entries the dispatch stream may hold
--       3 how many tasks may wait in all ('': any number): when there are more, nothing is done
--       4 … members of waiting:<queue>, in the order of the rows
-- Returns {number of tasks made due, room that is left, paused 0|1}
--
-- Repeatable: a member that is gone from the waiting set, or whose row is in no state that
-- TaskDue may leave, is passed over. A dispatch entry has the entry id of its TaskDue, where the
-- dispatch stream still takes that.
if redis.call('SISMEMBER', KEYS[5], ARGV[1]) == 1 then return {0, 0, 1} end
if ARGV[3] ~= '' and redis.call('ZCARD', KEYS[2]) > tonumber(ARGV[3]) then return {0, 0, 0} end
local room = tonumber(ARGV[2]) - redis.call('XLEN', KEYS[3])
local now = clock()
local at = int(now) -- the event is as old as the clock that it was judged by: never early
local done, gone = 0, {}
for i = 4, #ARGV do
  if room <= 0 then break end
  local member, row = ARGV[i], KEYS[i + 2]
  local r = redis.pcall('HMGET', row, 'state', 'attempt', 'priority', 'dueAt', 'label', 'requested')
  local legal = r[1] == 'waiting' or r[1] == 'delayed' or r[1] == 'retrying'
  -- A row that no decision wrote is none: it must not stop the others.
  if not (r[3] and r[4] and r[5] and r[6]) then legal = false end
  if legal and not (tonumber(r[2] or 0) and tonumber(r[3]) and tonumber(r[4]) and string.find(r[6], '^%d+%-%d+$')) then
    legal = false
  end
  local early = legal and tonumber(r[4]) > now
  -- One that waits stands in the set; one that was delayed may since be back among the delayed.
  if legal and r[1] ~= 'waiting' and not redis.call('ZSCORE', KEYS[2], member) then legal = false end
  if legal and not early then
    local task = string.sub(member, 26) -- what follows 13 digits, '-', 10 digits, ':'
    local attempt = int((r[2] or 0) + 1)
    local data = '{' .. r[5] .. ',"attempt":' .. attempt ..
      ',"priority":' .. r[3] .. ',"dueAt":' .. r[4] .. ',"from":"' .. r[1] .. '"}'
    local id = appendAt(KEYS[1], at, 'TaskDue', task, data)
    local entry = redis.pcall('XADD', KEYS[3], id, 'task', task, 'attempt', attempt, 'label', r[5])
    if type(entry) == 'table' then -- that stream is ahead of the log: an entry was put back, or is foreign
      redis.call('XADD', KEYS[3], '*', 'task', task, 'attempt', attempt, 'label', r[5])
    end
    redis.call('HSET', row, 'state', 'due', id, '')
    room, done = room - 1, done + 1
  end
  if not early then gone[#gone + 1] = member end
end
if #gone > 0 then redis.call('ZREM', KEYS[2], unpack(gone)) end
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('SREM', KEYS[4], ARGV[1]) end
return {done, room, 0}
