-- keep.lua: a snapshot, whose chunks are there, is named and so exists.
--
-- KEYS  1 snapshot   2 snapshots   3 readers   4 events   5 trimmed      (one slot)
-- ARGV  1 entry id   2 ms   3 version   4 number of chunks
-- Returns 'ok' | 'incomplete', chunks are missing | 'foreign', the log does not have that entry
--
-- An entry that was trimmed meanwhile is one that the log had.
-- Repeatable: the snapshot of an entry is always the same.
if redis.call('HLEN', KEYS[1]) < tonumber(ARGV[4]) then return 'incomplete' end
local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
if #redis.call('XRANGE', KEYS[4], ARGV[1], ARGV[1]) == 0 then
  local ms, seq = parts(ARGV[1])
  local upto, uptoSeq = parts(redis.call('HGET', KEYS[5], 'id') or '0-0')
  if ms > upto or ms == upto and seq > uptoSeq then return 'foreign' end
end
redis.call('HSET', KEYS[1], 'version', ARGV[3], 'chunks', ARGV[4])
redis.call('PERSIST', KEYS[1])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[3], 'snapshots', ARGV[1])
return 'ok'
