-- forget.lua: a worker that has stopped takes its consumer out of a group.
--
-- KEYS  1 due:<queue>
-- ARGV  1 worker id
-- Returns 1 when the consumer is gone, 0 when it still has entries: another worker claims them
--
-- A consumer that is deleted takes its pending entries with it, and nobody would ever claim them.
-- So it is asked and deleted in one step. Repeatable: it is gone the second time, too.
local pending = redis.pcall('XPENDING', KEYS[1], 'workers', '-', '+', '1', ARGV[1])
if pending.err then return 1 end -- there is no such group, or no stream
if #pending > 0 then return 0 end
redis.pcall('XGROUP', 'DELCONSUMER', KEYS[1], 'workers', ARGV[1])
return 1
