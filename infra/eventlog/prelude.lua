-- prelude.lua: what every decision starts with. It stands in front of each script.
--
-- Numbers go to Redis as strings: Lua's own conversion costs more than the command that takes them.

-- clock returns the time in ms by Redis' clock.
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function int(n) return string.format('%d', n) end

-- append adds an event and returns its entry id. Redis names its ms: that of clock, or a later one.
local function append(log, kind, task, data)
  return redis.call('XADD', log, '*', 'type', kind, 'task', task, 'v', '1', 'data', data)
end

-- appendAt adds an event at the ms by which its script decided, so that it is not a ms younger; when the
-- log is ahead of the clock (which went back), the event gets the next id of the log.
local function appendAt(log, ms, kind, task, data)
  local id = redis.pcall('XADD', log, ms .. '-*', 'type', kind, 'task', task, 'v', '1', 'data', data)
  if type(id) == 'table' then return append(log, kind, task, data) end
  return id
end

-- msOf returns the ms of an entry id.
local function msOf(id) return string.match(id, '^%d+') end

-- place returns a task's member in waiting:<queue>. The score there is the priority, and Redis
-- orders equal scores by member: so by the place of TaskRequested in the log.
local function place(requested, task)
  local dash = string.find(requested, '-', 1, true)
  local ms, seq = string.sub(requested, 1, dash - 1), string.sub(requested, dash + 1)
  return string.sub('0000000000000', #ms + 1) .. ms .. '-' .. string.sub('0000000000', #seq + 1) .. seq .. ':' .. task
end

-- A row names the event that made it in requested; each later one is a field without a value, named by its
-- entry id. So one more is added without a look at the others, and the row stays what Redis keeps in one
-- small piece of memory: a hash of short values. For the same sake a definition of up to 256 bytes is in
-- the fields def1 … def4, 64 bytes in each, and only a longer one in def.
-- That of a completed task is nowhere but in the log.

-- newest returns the entry id of a row's newest event, when that is a later one.
local function newest(row)
  local id, ms, seq = '', -1, -1
  for _, field in ipairs(redis.call('HKEYS', row)) do
    local m, s = string.match(field, '^(%d+)-(%d+)$')
    if m then
      m, s = tonumber(m), tonumber(s)
      if m > ms or m == ms and s > seq then id, ms, seq = field, m, s end
    end
  end
  return id
end

-- keep lets a task's row go so many ms after the event that ended the task.
local function keep(row, id, kept) redis.call('PEXPIREAT', row, int(msOf(id) + kept)) end

-- add puts values at the end of a list.
local function add(list, a, b)
  list[#list + 1] = a
  if b then list[#list + 1] = b end
end

-- try returns what f answers for one item of a call, or the lines error, why: a bad item spoils no other.
local function try(f, ...)
  local ok, answer = pcall(f, ...)
  if ok then return answer end
  return 'error\n' .. (type(answer) == 'table' and answer.err or tostring(answer))
end
