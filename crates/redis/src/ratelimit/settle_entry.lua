-- Changes what the charge of a call takes. One that has ended stays so: what is added to it is charged anew, until `finish`.
local function settle_entry(key, units, finish)
  let_go_of_ended(key, -(call("ZSCORE", key, "") or 0))
  local id, amount = ARGV[2], 0
  local score = tonumber(call("ZSCORE", key, id))
  if score then
    local member = id
    amount, finish = 1, score
    if score < 0 then
      amount, member = -score, id .. pack("<i8", -score)
      finish = tonumber(call("ZSCORE", key, member))
    end
    call("ZREM", key, id, member)
    add_extra(key, 1 - amount)
  end
  if amount + units > 0 then add_entry(key, amount + units, finish, math.max(finish, last_end(key) or 0)) end
end
