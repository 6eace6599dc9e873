-- Drops the oldest events of a shard's outbox, once they are published.
--
-- KEYS[1] = base. Keys touched: base .. meta (epoch, read), base .. out (LIST).
-- ARGV = epoch, count. Returns 1, or 0 if the epoch has moved on.

if redis.call('HGET', KEYS[1] .. 'meta', 'epoch') ~= ARGV[1] then
  return 0
end
redis.call('LTRIM', KEYS[1] .. 'out', ARGV[2], -1)
return 1
