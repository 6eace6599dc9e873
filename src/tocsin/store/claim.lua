-- Gives a shard to a new owner of its watch.
--
-- KEYS[1] = base. Key touched: base .. meta, field epoch.
-- Returns the new epoch: the server's clock in ms, or one more than the last if that is later.
-- A plain counter would be handed out twice after a failover that lost the last claim, and two
-- owners with one epoch would not fence each other.

local meta, now = KEYS[1] .. 'meta', redis.call('TIME')
local last = tonumber(redis.call('HGET', meta, 'epoch') or 0)
local epoch = math.max(last + 1, now[1] * 1000 + math.floor(now[2] / 1000))
redis.call('HSET', meta, 'epoch', epoch)
return epoch
