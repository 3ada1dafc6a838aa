-- A counter that keeps each charge is a sorted set:
--   id               its end   a charge of one unit
--   id .. amount     its end   a charge of more; the amount has eight bytes
--   id               -amount   tells what the charge of this id is, where it is of more than one unit
--   ""               -extra    how many units there are beyond one for each charge
-- So the charges that count are the members with a score above now, and they stand last.

local function amount_of(member)
  if #member == 16 then return 1 end
  return (unpack_numbers("<i8", member, 17))
end

local function add_extra(key, units)
  if units ~= 0 and tonumber(call("ZINCRBY", key, -units, "")) == 0 then call("ZREM", key, "") end
end

local function last_end(key)
  return tonumber(call("ZRANGE", key, -1, -1, "WITHSCORES")[2])
end

-- When so many units have ended, from the first of the charges that count.
local function end_of_first(key, live, units)
  for rank = -live, -1, 100 do
    local some = call("ZRANGE", key, rank, math.min(rank + 99, -1), "WITHSCORES")
    for i = 1, #some, 2 do
      units = units - amount_of(some[i])
      if units <= 0 then return tonumber(some[i + 1]) end
    end
  end
end

-- What is in use, when so much of it has ended that `cost` fits, when the last of it ends, the extra units, and whether anything has
-- ended that should not be looked at again. Amounts are looked at one by one only of charges that have ended, or have to end first.
local function in_use(key, capacity, cost)
  local clear_at = last_end(key)
  if not clear_at then return 0, now, now, 0, false end
  local extra = -(call("ZSCORE", key, "") or 0)
  if clear_at <= now then return 0, now, now, extra, false end
  local live = call("ZCOUNT", key, now + 1, "+inf")
  local amount = live + extra
  local ended = extra > 0 and call("ZRANGEBYSCORE", key, 0, now) or {}
  for _, member in ipairs(ended) do amount = amount + 1 - amount_of(member) end
  local excess, fits_at = amount + cost - capacity, now
  if excess > 0 and cost <= capacity then
    if extra == 0 then
      local rank = excess - 1 - live
      fits_at = tonumber(call("ZRANGE", key, rank, rank, "WITHSCORES")[2])
    else
      fits_at = end_of_first(key, live, excess)
    end
  end
  return amount, fits_at, clear_at, extra, #ended > 0
end

local function let_go_of_ended(key, extra)
  if extra > 0 then
    local units, ids = 0, {}
    for _, member in ipairs(call("ZRANGEBYSCORE", key, 0, now)) do
      local amount = amount_of(member)
      if amount > 1 then units, ids[#ids + 1] = units + amount - 1, string.sub(member, 1, 16) end
    end
    for first = 1, #ids, 1000 do call("ZREM", key, unpack(ids, first, math.min(first + 999, #ids))) end
    add_extra(key, -units)
  end
  call("ZREMRANGEBYSCORE", key, 0, now)
end

-- Adds the charge of this call, of which there is none. One that is there, since the call was sent twice, stays.
local function add_entry(key, amount, finish, kept)
  local id = ARGV[2]
  if amount == 1 then
    call("ZADD", key, finish, id)
  elseif call("ZADD", key, finish, id .. pack("<i8", amount)) == 1 then
    call("ZADD", key, -amount, id)
    add_extra(key, amount - 1)
  end
  call(is_by_server and "PEXPIREAT" or "PEXPIRE", key, string.format("%d", kept / 1000 + offset))
end
