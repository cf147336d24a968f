-- retire.lua: the scheduler lets the rows of tasks go that are over, when a queue has too many.
--
-- KEYS  1 finished:<queue>   2 retired
--       3 … task rows
-- ARGV  1 queue   2 how many tasks are kept   3 how long the row of every task is, ms
--       4 … task ids in the order of the rows, those that ended first before the others
-- Returns {number of rows that went, how many tasks are still too many, ms until the next may go}
--
-- A row goes only while the task is over, and by the end that was noted: one that somebody retried, or that
-- lives again under its id, is left alone and will be noted anew. retired has the newest event of all
-- that went, so that whoever misses a row can tell. Repeatable: a task that is noted no more is passed
-- over. ZREM comes first: after it Redis lets the script write even when it is out of memory.
local function order(id) -- as orderOf in tally.go
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return ms * 1024 + math.min(seq, 1023)
end
local upto = redis.call('HGET', KEYS[2], ARGV[1])
local surplus = redis.call('ZCARD', KEYS[1]) - ARGV[2]
local now = clock()
local rows, wait = 0, 0
for i = 4, #ARGV do
  local task, row = ARGV[i], KEYS[i - 1]
  local ended = redis.call('ZSCORE', KEYS[1], task)
  if surplus <= 0 then break end
  if ended then
    local state = redis.pcall('HGET', row, 'state') -- an error is a table: it is no row
    local over = state == 'completed' or state == 'failed' or state == 'cancelled'
    local id = over and newest(row) or ''
    local goes = id ~= '' and order(id) == tonumber(ended)
    wait = goes and math.max(0, msOf(id) + ARGV[3] - now) or 0
    if wait > 0 then break end -- and those that follow are younger
    redis.call('ZREM', KEYS[1], task)
    surplus = surplus - 1
    if goes then
      redis.call('UNLINK', row)
      rows = rows + 1
      if not upto or order(id) > order(upto) then upto = id end
    end
  end
end
if rows > 0 then redis.call('HSET', KEYS[2], ARGV[1], upto) end
return {rows, math.max(0, surplus), wait}
