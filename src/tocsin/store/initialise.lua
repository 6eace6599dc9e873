-- Sets where a shard's history begins and which offset it expects next.
--
-- KEYS[1] = base. Key touched: base .. meta, fields next:<p> high:<p> mark:<p> from:<p>
-- partitions.
-- ARGV[1] = 1 to overwrite, else only partitions never seen are set.
-- ARGV[2..] = partition, next, high or '', mark or '', from, for each partition.

local meta, call = KEYS[1] .. 'meta', redis.call
if ARGV[1] == '1' then
  call('HDEL', meta, 'partitions') -- a topic made anew may have fewer; the next merge says
end
for i = 2, #ARGV, 5 do
  local p, next, high, mark, from = unpack(ARGV, i, i + 4)
  if ARGV[1] == '1' or call('HEXISTS', meta, 'next:' .. p) == 0 then
    -- HSET first: it is the write Redis may refuse for lack of memory (see merge.lua).
    call('HSET', meta, 'next:' .. p, next, 'from:' .. p, from)
    for name, value in pairs({ high = high, mark = mark }) do
      if value == '' then
        call('HDEL', meta, name .. ':' .. p)
      else
        call('HSET', meta, name .. ':' .. p, value)
      end
    end
  end
end
return 1
