-- Adds one flush to one shard, whole or not at all.
--
-- KEYS[1] = base, e.g. `tocsin:{03}:`. Keys touched, all in the slot of {03}:
--   base .. meta                      HASH  next:<p> high:<p> mark:<p> of each source partition,
--                                           partitions, seq (merges so far)
--   base .. w:<window>:<series>       HASH  field -> integer          (TTL from first sight)
--   base .. i:<window>                SET   series of the window      (TTL from its newest series)
--   base .. w                         ZSET  starts of windows that hold counters
--   base .. r:<trace>                 STR   RUN_HEADER, then the last STEP records (TTL, renewed)
--   base .. labels                    HASH  label -> readable name
--   base .. account                   HASH  <partition>:<outcome> -> spans: the books, no TTL
--   base .. dirty                     ZSET  w<window>SEP<series> | r<trace>, score = seq
--
-- ARGV[1] = msgpack of [fences, partitions, watched, rest, runs, labels, account, limits]:
--   fences   [[partition, first, next, high or nil, mark or nil], ...]
--   watched  [window, series, [field, by, ...], ...]  series that monotone rules read
--   rest     the same, for all others
--   runs     [trace, spans, tokens, cost, first_ms, bytes of steps, ...]
--   labels   [label, name, ...]
--   account  [partition:outcome, spans, ...]
--   limits   [window ms, run ms, step bytes, ring, run version, min steps, dirty, labels]
-- ARGV[2] = the steps of all runs, one after the other: cmsgpack reads no binary type.
--
-- Returns seq if applied, else the stored next offset of every fence (nil = never seen).

local base, call, try = KEYS[1], redis.call, redis.pcall
local fences, partitions, watched, rest, runs, labels, account, limits =
  unpack(cmsgpack.unpack(ARGV[1]))
local window_ttl, run_ttl, step_bytes, ring, version, min_steps, dirty_limit, label_limit =
  unpack(limits)
local meta = base .. 'meta'

-- Lua's stack holds 8,000 arguments, so long lists go in pieces of whole pairs and triples.
local CHUNK = 3996
local function each(command, key, list, use)
  for i = 1, #list, CHUNK do
    local reply = call(command, key, unpack(list, i, math.min(i + CHUNK - 1, #list)))
    if use then
      use(reply, i - 1)
    end
  end
end

local names, stored = {}, {}
for i, fence in ipairs(fences) do
  names[3 * i - 2] = 'next:' .. fence[1]
  names[3 * i - 1] = 'high:' .. fence[1]
  names[3 * i] = 'mark:' .. fence[1]
end
each('HMGET', meta, names, function(reply, before)
  for i, value in ipairs(reply) do
    stored[before + i] = value
  end
end)
local equal, expected = true, {}
for i, fence in ipairs(fences) do
  expected[i] = stored[3 * i - 2]
  equal = equal and tonumber(expected[i] or -1) == fence[2]
end
if not equal then
  return expected
end

-- Redis refuses a script for lack of memory at its FIRST write or not at all, and only if that
-- write may grow memory (HINCRBY does, EXPIRE does not). So this line is the check: it runs
-- before any counter moves, and once it passed, the rest is applied even beyond maxmemory.
local seq = call('HINCRBY', meta, 'seq', 1)

-- A worker with older metadata may not make the topic smaller: windows would close without
-- the new partitions.
local known = tonumber(call('HGET', meta, 'partitions') or 0)
local marks = { 'partitions', math.max(partitions, known) }
local function raise_mark(name, old, new)
  if new and not (old and tonumber(old) >= new) then
    marks[#marks + 1] = name
    marks[#marks + 1] = new
  end
end
for i, fence in ipairs(fences) do
  marks[#marks + 1] = names[3 * i - 2]
  marks[#marks + 1] = fence[3]
  raise_mark(names[3 * i - 1], stored[3 * i - 1], fence[4])
  raise_mark(names[3 * i], stored[3 * i], fence[5])
end
each('HSET', meta, marks)

local dirty = {}
local function mark_dirty(member)
  local at = #dirty
  dirty[at + 1], dirty[at + 2] = seq, member
end

-- A counter that would overflow stays at the largest integer: an error here would leave the
-- flush half applied. `%.0f`: Redis 6.2 prints a number beyond 2^53 as 1e+17, no integer.
local function saturate(key, field, by)
  local sum = try('HINCRBY', key, field, string.format('%.0f', by))
  if type(sum) == 'table' then
    call('HSET', key, field, '9223372036854775807')
  end
end

local fresh = {} -- window -> its series seen for the first time
local function add(windows, is_watched)
  for i = 1, #windows, 3 do
    local window, series, counts = windows[i], windows[i + 1], windows[i + 2]
    local key = base .. 'w:' .. window .. ':' .. series
    for j = 1, #counts, 2 do
      local field, by = counts[j], counts[j + 1]
      local sum = try('HINCRBY', key, field, by)
      if type(sum) == 'table' then
        saturate(key, field, by)
      end
      -- A new hash answers the increment itself. An old one may too; then this is repeated.
      if j == 1 and sum == by then
        call('PEXPIRE', key, window_ttl)
        local list = fresh[window] or {}
        list[#list + 1] = series
        fresh[window] = list
      end
    end
    if is_watched and #counts > 0 then
      mark_dirty('w' .. window .. '\31' .. series)
    end
  end
end
add(watched, true)
add(rest, false)
for window, list in pairs(fresh) do
  local index = base .. 'i:' .. window
  each('SADD', index, list)
  call('PEXPIRE', index, window_ttl)
  call('ZADD', base .. 'w', window, window)
end

local keys, held = {}, {}
for i = 1, #runs, 6 do
  keys[#keys + 1] = base .. 'r:' .. runs[i]
end
for i = 1, #keys, CHUNK do
  local last = math.min(i + CHUNK - 1, #keys)
  for j, state in ipairs(call('MGET', unpack(keys, i, last))) do
    held[keys[i + j - 1]] = state
  end
end
local at = 0 -- bytes of ARGV[2] consumed
for i = 1, #runs, 6 do
  local trace, spans, tokens, cost, first, bytes = unpack(runs, i, i + 5)
  local key = base .. 'r:' .. trace
  local steps = string.sub(ARGV[2], at + 1, at + bytes)
  at = at + bytes
  local state = held[key]
  if state and struct.unpack('<d', state) == version then
    local _, old_spans, old_tokens, old_cost, old_first = struct.unpack('<ddddd', state)
    spans, tokens, cost = spans + old_spans, tokens + old_tokens, cost + old_cost
    first = math.min(first, old_first)
    steps = string.sub(state, 41) .. steps
  end
  if #steps > ring * step_bytes then
    steps = string.sub(steps, -ring * step_bytes)
  end
  state = struct.pack('<ddddd', version, spans, tokens, cost, first) .. steps
  held[key] = state
  call('SET', key, state, 'PX', run_ttl)
  if #steps >= min_steps * step_bytes then
    mark_dirty('r' .. trace)
  end
end

each('ZADD', base .. 'dirty', dirty)
local excess = call('ZCARD', base .. 'dirty') - dirty_limit
if excess > 0 then
  call('ZREMRANGEBYRANK', base .. 'dirty', 0, excess - 1)
end
for i = 1, #account, 2 do
  call('HINCRBY', base .. 'account', account[i], account[i + 1])
end
if #labels > 0 and call('HLEN', base .. 'labels') < label_limit then
  each('HSET', base .. 'labels', labels)
end
return seq
