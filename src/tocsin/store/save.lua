-- Writes one tick of watch to its shard, whole or not at all.
--
-- KEYS[1] = base. Keys touched:
--   base .. meta    HASH  epoch, evaluated
--   base .. blobs   HASH  name -> bytes (baselines, alert states)
--   base .. out     LIST  encoded events not yet published and trimmed
--   base .. dirty   ZSET  forgets the changes the tick has evaluated
-- ARGV = epoch, evaluated or '', seen, how many blobs to set, how many to delete,
--        then name, bytes of each blob to set; names to delete; events.
-- Returns 1, or 0 if the epoch has moved on.

local base, call = KEYS[1], redis.call
local epoch, evaluated, seen = ARGV[1], ARGV[2], ARGV[3]
local sets, deletes = tonumber(ARGV[4]), tonumber(ARGV[5])
local meta = base .. 'meta'
local CHUNK = 4000 -- Lua's stack holds 8,000 arguments

local stored = call('HMGET', meta, 'epoch', 'evaluated')
if stored[1] ~= epoch then
  return 0
end
-- Writes nothing new, but lets Redis refuse for lack of memory before anything is changed:
-- it does so at a script's first write only (see merge.lua).
call('HSET', meta, 'epoch', epoch)
if evaluated ~= '' and tonumber(evaluated) > tonumber(stored[2] or '-inf') then
  call('HSET', meta, 'evaluated', evaluated)
end

local function each_chunk(command, key, first, last)
  for i = first, last, CHUNK do
    call(command, key, unpack(ARGV, i, math.min(i + CHUNK - 1, last)))
  end
end
local set_end = 5 + 2 * sets
each_chunk('HSET', base .. 'blobs', 6, set_end)
each_chunk('HDEL', base .. 'blobs', set_end + 1, set_end + deletes)
each_chunk('RPUSH', base .. 'out', set_end + deletes + 1, #ARGV)
call('ZREMRANGEBYSCORE', base .. 'dirty', '-inf', seen)
return 1
