-- begin.lua: a generation is taken, for views of a partition that are to be made.
--
-- KEYS  1 head   2 shadow of the generation
-- ARGV  1 generation   2 for how long the shadow is kept when nobody writes it, ms
-- Returns 0 | a greater generation to ask for: this one is taken, or not after that of the stored views
--
-- Repeatable: a generation that was taken and not heard of ends by itself.
local last = redis.pcall('HGET', KEYS[1], 'generation')
if type(last) ~= 'string' then last = nil end
if last and tonumber(last) >= tonumber(ARGV[1]) then return tonumber(last) + 1 end
if not redis.call('SET', KEYS[2], '0', 'PX', ARGV[2], 'NX') then return tonumber(ARGV[1]) + 1 end
-- Should nothing come of it, the next projector sweeps what is left.
if last then redis.call('HSET', KEYS[1], 'swept', '0') end
return 0
