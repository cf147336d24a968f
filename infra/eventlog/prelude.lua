-- prelude.lua: what every decision starts with. It stands in front of each script.

-- clock returns the time in ms by Redis' clock.
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function int(n) return string.format('%.0f', n) end

-- append adds an event at the time now and returns its entry id and the ms in it. The ms is named
-- and not left to XADD, so that an event is as old as the clock that its script decided by. When
-- the log is ahead of the clock (which went back), the event gets the next id of the log.
local function append(log, now, kind, task, data)
  local id = redis.pcall('XADD', log, int(now) .. '-*', 'type', kind, 'task', task, 'v', '1', 'data', data)
  if type(id) == 'table' then
    id = redis.call('XADD', log, '*', 'type', kind, 'task', task, 'v', '1', 'data', data)
  end
  return id, tonumber(string.match(id, '^%d+'))
end

-- place returns a task's member in waiting:<queue>. The score there is the priority, and Redis
-- orders equal scores by member: so by the place of TaskRequested in the log.
local function place(requested, task)
  local ms, seq = string.match(requested, '^(%d+)-(%d+)$')
  return string.format('%013d-%010d:', tonumber(ms), tonumber(seq)) .. task
end

-- last returns the newest of a row's entry ids.
local function last(events) return string.match(events, '%S+$') end

-- first returns the oldest of them: that of TaskRequested.
local function first(events) return string.match(events, '^%S+') end
