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

-- What is in use, when so much of it has ended that `cost` fits, when the last of it ends, and whether anything has ended that should
-- not be looked at again. Amounts are looked at one by one only of charges that have ended, or that have to end first.
local function in_use(key, capacity, cost)
  local clear_at = last_end(key)
  if not clear_at or clear_at <= now then return 0, now, now, false end
  local live, extra = call("ZCOUNT", key, now + 1, "+inf"), -(call("ZSCORE", key, "") or 0)
  local amount = live + extra
  local ended = extra > 0 and call("ZRANGEBYSCORE", key, 0, now) or {}
  for _, member in ipairs(ended) do amount = amount + 1 - amount_of(member) end
  local excess, is_stale = amount + cost - capacity, #ended > 0
  if excess <= 0 or cost > capacity then return amount, now, clear_at, is_stale end
  if extra == 0 then
    local rank = excess - 1 - live
    return amount, tonumber(call("ZRANGE", key, rank, rank, "WITHSCORES")[2]), clear_at, false
  end
  local fits_at = clear_at
  for rank = -live, -1, 100 do
    local some = call("ZRANGE", key, rank, math.min(rank + 99, -1), "WITHSCORES")
    for i = 1, #some, 2 do
      excess, fits_at = excess - amount_of(some[i]), tonumber(some[i + 1])
      if excess <= 0 then return amount, fits_at, clear_at, is_stale end
    end
  end
  return amount, fits_at, clear_at, is_stale
end

local function let_go_of_ended(key)
  if call("ZSCORE", key, "") then
    local extra, ids = 0, {}
    for _, member in ipairs(call("ZRANGEBYSCORE", key, 0, now)) do
      local amount = amount_of(member)
      if amount > 1 then extra, ids[#ids + 1] = extra + amount - 1, string.sub(member, 1, 16) end
    end
    for first = 1, #ids, 1000 do call("ZREM", key, unpack(ids, first, math.min(first + 999, #ids))) end
    add_extra(key, -extra)
  end
  call("ZREMRANGEBYSCORE", key, 0, now)
end

local function add_entry(key, amount, finish)
  local id = ARGV[2]
  if amount == 1 then
    call("ZADD", key, finish, id)
  else
    call("ZADD", key, finish, id .. pack("<i8", amount), -amount, id)
    add_extra(key, amount - 1)
  end
  call(is_by_server and "PEXPIREAT" or "PEXPIRE", key, string.format("%d", last_end(key) / 1000 + offset))
end
