-- drop.lua: the scheduler removes members of a ledger that name no task with a usable row.
--
-- KEYS  1 delayed or leases
-- ARGV  1 … members
-- Returns how many were removed
--
-- Repeatable: they are gone the second time.
return redis.call('ZREM', KEYS[1], unpack(ARGV))
