-- gate.lua: no decision is taken while the state that it would be taken by is made again from the log.
-- It stands between the prelude and every script that reads or writes that state.
--
-- The last of KEYS is the gate. It is taken off, so that scripts count their own keys only.
if redis.call('EXISTS', KEYS[#KEYS]) == 1 then
  return redis.error_reply('REBUILDING the state of this partition is being made again from the log')
end
KEYS[#KEYS] = nil
