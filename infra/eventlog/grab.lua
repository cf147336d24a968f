-- grab.lua: a worker with fewer free slots than queues takes what is due now, an entry of each queue in turn.
--
-- KEYS  1 … due:<queue>   (in the order of their turns)
-- ARGV  1 worker id   2 how many entries at the most
-- Returns {stream, entries} of each queue that had one
--
-- XREADGROUP takes as many from each of its streams, and so more than there are slots for. Repeatable: entries
-- whose reply was lost are pending, as after any read that takes, and are claimed some seconds later.
local taken = {}
for k = 1, #KEYS do
  if #taken >= tonumber(ARGV[2]) then break end
  local got = redis.pcall('XREADGROUP', 'GROUP', 'workers', ARGV[1], 'COUNT', '1', 'STREAMS', KEYS[k], '>')
  if got and got.err then
    if #taken == 0 then return got end
    break -- what was taken is not to be lost; the next call finds it
  end
  if got then add(taken, got[1]) end
end
return taken
