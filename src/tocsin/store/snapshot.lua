-- Reads one shard for watch: marks, positions, open windows, and what moved since `seen`.
--
-- KEYS[1] = base. Keys read (schema: merge.lua, save.lua): meta, w, i:<window>, dirty,
--   w:<window>:<series>, r:<trace>. Written: w, which loses starts whose counters expired.
-- ARGV[1] = seen, ARGV[2] = how many changes to return, ARGV[3..] = the counters to return of
--   a changed series.
--
-- Returns [packed, trace, state, trace, state, ...]: run states are binary, so they travel as
-- they are. packed = msgpack of [meta fields flat, window starts, changed, last seq covered]
-- where changed = [window, series, [value or false, ...], ...]; values are decimal strings,
-- because Lua's numbers are doubles.

local base, call = KEYS[1], redis.call
local seen, limit, fields = ARGV[1], tonumber(ARGV[2]), { unpack(ARGV, 3) }
local dirty = base .. 'dirty'
local meta = call('HGETALL', base .. 'meta')
local evaluated = tonumber(call('HGET', base .. 'meta', 'evaluated') or '-inf') or -math.huge

-- Counters expire by wall clock, oldest windows first (a rebuild aside), so a few from the
-- bottom each time keep the set of starts as short as the retention.
local function alive(start)
  if call('EXISTS', base .. 'i:' .. start) == 1 then
    return true
  end
  call('ZREM', base .. 'w', start)
  return false
end
for _, start in ipairs(call('ZRANGE', base .. 'w', 0, 15)) do
  if alive(start) then
    break
  end
end
local after = evaluated == -math.huge and '-inf' or '(' .. string.format('%.0f', evaluated)
local starts = {}
for _, start in ipairs(call('ZRANGEBYSCORE', base .. 'w', after, '+inf')) do
  if alive(start) then
    starts[#starts + 1] = tonumber(start)
  end
end

-- One more than the limit shows whether it cuts a merge in two; that merge waits, unless it is
-- the first: then it comes whole, however large.
local covered = tonumber(call('HGET', base .. 'meta', 'seq') or 0)
local upto = '+inf'
local beyond = call('ZRANGEBYSCORE', dirty, '(' .. seen, '+inf', 'WITHSCORES', 'LIMIT', limit, 1)
if #beyond > 0 then
  local first = call('ZRANGEBYSCORE', dirty, '(' .. seen, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  covered = math.max(tonumber(first[2]), tonumber(beyond[2]) - 1)
  upto = covered
end

local changed, traces = {}, {}
for _, member in ipairs(call('ZRANGEBYSCORE', dirty, '(' .. seen, upto)) do
  if string.byte(member) == 114 then -- r
    traces[#traces + 1] = string.sub(member, 2)
  else
    local cut = string.find(member, '\31', 1, true)
    local window, series = tonumber(string.sub(member, 2, cut - 1)), string.sub(member, cut + 1)
    if window > evaluated then
      local values = call('HMGET', base .. 'w:' .. window .. ':' .. series, unpack(fields))
      local n = #changed
      changed[n + 1], changed[n + 2], changed[n + 3] = window, series, values
    end
  end
end

local reply = { cmsgpack.pack({ meta, starts, changed, covered }) }
for _, trace in ipairs(traces) do
  local state = call('GET', base .. 'r:' .. trace)
  if state then
    reply[#reply + 1] = trace
    reply[#reply + 1] = state
  end
end
return reply
