-- trim.lua: the oldest entries of the log go, when nobody needs them there.
--
-- KEYS  1 events   2 trimmed   3 readers   4 head of the views           (one slot)
-- ARGV  1 id of the last entry to go   2 the id after it
-- Returns {"ok", id up to which entries are gone or '', how many ever were}
--       | {"held", who holds it, id, "after" or "from": the entries after this id, or from it on, are needed}
--
-- Redis stands still while it removes: the caller asks for a few thousand entries at a time. The newest
-- entry always stays: it is where the log goes on. Views that nobody has made yet need all of it.
-- Repeatable: what is gone is not counted again. XTRIM comes first, for after it Redis lets the script
-- write even when it is out of memory.
local function padded(n) return string.rep('0', 20 - #n) .. n end
local function place20(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  if not ms then ms, seq = id, '0' end
  return padded(ms) .. padded(seq)
end
local last = place20(ARGV[1])
local answer, lowest
-- hold lets who keep the entries after an id, or from it on.
local function hold(who, id, kind)
  local at = place20(id)
  if not (at < last or at == last and kind == 'from') then return end
  if not lowest or at < lowest then answer, lowest = {'held', who, id, kind}, at end
end

local trimmed = redis.call('HMGET', KEYS[2], 'id', 'entries')
local done = {'ok', trimmed[1] or '', int(trimmed[2] or 0)}
if trimmed[1] and last <= place20(trimmed[1]) then return done end
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not newest then return done end

hold('the newest entry', newest[1], 'from')
hold('the views', redis.call('HGET', KEYS[4], 'checkpoint') or '0-0', 'after')
local readers = redis.call('HGETALL', KEYS[3])
for i = 1, #readers, 2 do hold('reader ' .. readers[i], readers[i + 1], 'after') end
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local of = {}
  for i = 1, #group, 2 do of[group[i]] = group[i + 1] end
  hold('consumer group ' .. of['name'], of['last-delivered-id'], 'after')
  if of['pending'] > 0 then
    hold('consumer group ' .. of['name'], redis.call('XPENDING', KEYS[1], of['name'])[2], 'from')
  end
end
if answer then return answer end

local gone = redis.call('XTRIM', KEYS[1], 'MINID', '=', ARGV[2])
redis.call('HSET', KEYS[2], 'id', ARGV[1])
return {'ok', ARGV[1], int(redis.call('HINCRBY', KEYS[2], 'entries', gone))}
