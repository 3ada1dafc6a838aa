-- Corrects what a call has charged, and answers 1; or 0 if it had a hold that is over.

local is_held, charged = flag == 1, span
local count = #KEYS

if is_held then
  if tonumber(call("GET", KEYS[count]) or 0) <= now then return 0 end
  call("DEL", KEYS[count])
  count = count - 1
end

for i = 1, count do
  local kernel, flags, units, _, a, b, c, d
  kernel, flags, units, _, a, b, c, d, position = unpack_numbers(RECORD, numbers, position)
  local before, adds, is_kept = kernel < 6 and call("GET", KEYS[i]), flags == 1, false
  local at, used, earlier, kept, clear, keep

  if kernel == 1 then
    at, used, kept = level(before, now, a, b, c)
    if adds then
      used = math.min(used + units, a)
    else
      -- What has come back by itself since it was charged is not given back twice.
      local come_back = math.max(at - at % c - (charged - charged % c), 0) / c * b
      used = math.max(used - math.max(units - come_back, 0), 0)
    end
    clear, keep = level_end(at, used, now, b, c)
    is_kept = before or used > 0
  elseif kernel <= 3 then
    local _, finish = window(now, kernel == 3, a, b, c, d)
    local from, of = window(charged, kernel == 3, a, b, c, d)
    at, used, kept = fixed_window(before, finish)
    used = adds and math.min(used + units, 9007199254740991) or math.max(used - units, 0)
    clear, keep = at, at
    -- What was charged to a window that is over, or too old to be known, went with it.
    is_kept = adds or before and from <= charged and of == at
  elseif kernel <= 5 then
    local start, following
    start, at, following, earlier, used, kept = sliding_window(before, window, now, kernel == 5, a, b, c, d)
    local from, of = window(charged, kernel == 5, a, b, c, d)
    is_kept = adds or before and from <= charged and (of == at or of == start)
    if adds then
      used = math.min(used + units, 4294967295)
    elseif of == at then
      used = math.max(used - units, 0)
    elseif of == start then
      earlier = math.max(earlier - units, 0)
    end
    clear = used > 0 and following or at
    keep = clear
  else
    settle_entry(KEYS[i], adds and units or -units, now + a)
  end

  if is_kept then
    local expires = false
    if not is_by_server or clear > kept then kept, expires = keep, string.format("%d", keep / 1000 + offset) end
    local value = earlier and pack("<i8I4I4i8", at, used, earlier, kept) or pack(CELLS, at, used, kept)
    if expires then
      call("SET", KEYS[i], value, expiry, expires)
    else
      call("SET", KEYS[i], value, "KEEPTTL")
    end
  end
end

return 1
