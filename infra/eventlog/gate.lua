-- gate.lua: no decision is taken while the state that it would be taken by is made again from the log, or
-- while the log is copied. It stands between the prelude and every script that reads or writes that state.
--
-- The last of KEYS is the gate. It is taken off, so that scripts count their own keys only.
if redis.call('EXISTS', KEYS[#KEYS]) == 1 then
  local why = string.match(redis.call('GET', KEYS[#KEYS]), '^copy [^\n]*\n(.*)$')
  return redis.error_reply('REBUILDING ' .. (why or 'the state of this partition is being made again from the log'))
end
KEYS[#KEYS] = nil
