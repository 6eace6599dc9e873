-- Reads one window of one shard as columns.
--
-- KEYS[1] = base. Keys read (schema: merge.lua): i:<window>, w:<window>:<series>.
-- ARGV[1] = window.
--
-- Returns msgpack of [series, sizes, fields, field, values]: series[i] owns the next sizes[i]
-- of `field` (0-based index into fields) and of `values` (decimals in one string: Lua's
-- numbers are doubles, and one string decodes to an int64 array without a Python object each).

local base, window, call = KEYS[1], ARGV[1], redis.call
local series, sizes, fields, field, values = {}, {}, {}, {}, {}
local ids, n = {}, 0
local members = call('SMEMBERS', base .. 'i:' .. window)
table.sort(members)
for _, name in ipairs(members) do
  local flat = call('HGETALL', base .. 'w:' .. window .. ':' .. name)
  if #flat > 0 then
    series[#series + 1] = name
    sizes[#sizes + 1] = #flat / 2
    for j = 1, #flat, 2 do
      local id = ids[flat[j]]
      if not id then
        id = #fields
        ids[flat[j]] = id
        fields[id + 1] = flat[j]
      end
      n = n + 1
      field[n], values[n] = id, flat[j + 1]
    end
  end
end
return cmsgpack.pack({ series, sizes, fields, field, table.concat(values, ' ') })
