-- Takes the charges, all or none, and answers how each counter stood before, or for Entries what is in use; then twice the time, and 1
-- more if every charge that can refuse fits. The first write is the one that a full server refuses, so it is never one that removes
-- something.

local takes, hold = flag == 1, span
local count = hold > 0 and #KEYS - 1 or #KEYS
local answer = count > 0 and call("MGET", unpack(KEYS)) or {}
local admitted, written, entries = 1, 0, false
-- Key, value, expiry or `false` where that stays, and whether a refusal writes it too.
local writes = {false, false, false, false}

for i = 1, count do
  local kernel, flags, cost, most, a, b, c, d
  kernel, flags, cost, most, a, b, c, d, position = unpack_numbers(RECORD, numbers, position)
  local before, fits = answer[i], cost == 0
  local at, used, earlier, kept, clear, keep

  if kernel == 1 then
    at, used, kept = level(before, now, a, b, c)
    fits = fits or used + cost <= most
    used = used + cost
    if fits then clear, keep = level_end(at, used, now, b, c) end
  elseif kernel <= 3 then
    local _, finish = window(now, kernel == 3, a, b, c, d)
    at, used, kept = fixed_window(before, finish)
    fits = fits or used + cost <= most
    used, clear, keep = used + cost, at, at
  elseif kernel <= 5 then
    local start, following
    start, at, following, earlier, used, kept = sliding_window(before, window, now, kernel == 5, a, b, c, d)
    local room = most - used - cost
    fits = fits or room >= 0 and weighted(earlier, now, start, at) <= room * 1000000
    used = used + cost
    clear = used > 0 and following or at
    keep = clear
  else
    local fits_at, extra, is_stale
    used, fits_at, clear, extra, is_stale = in_use(KEYS[i], most, cost)
    fits = fits or used + cost <= most
    answer[i] = pack(CELLS, used, fits_at, clear)
    entries = entries or {}
    entries[#entries + 1] = {KEYS[i], fits and cost or 0, now + a, clear, extra, is_stale, flags >= 2}
  end

  if not fits then
    if flags % 2 == 1 then admitted = 0 end
  elseif kernel < 6 and (before or used > 0) then
    local expires = false
    if not is_by_server or clear > kept then kept, expires = keep, string.format("%d", keep / 1000 + offset) end
    writes[written + 1], writes[written + 3], writes[written + 4] = KEYS[i], expires, flags >= 2
    writes[written + 2] = earlier and pack("<i8I4I4i8", at, used, earlier, kept) or pack(CELLS, at, used, kept)
    written = written + 4
  end
end

if takes then
  for i = 1, written, 4 do
    if admitted == 0 and not writes[i + 3] then
      -- A refusal takes nothing else.
    elseif writes[i + 2] then
      call("SET", writes[i], writes[i + 1], expiry, writes[i + 2])
    else
      call("SET", writes[i], writes[i + 1], "KEEPTTL")
    end
  end
  for i = 1, entries and #entries or 0 do
    local key, units, finish, clear, extra, is_stale, in_any_case = unpack(entries[i])
    local adds = units > 0 and (admitted == 1 or in_any_case)
    if adds then add_entry(key, units, finish, math.max(finish, clear)) end
    if adds or is_stale then let_go_of_ended(key, extra) end
  end
  if hold > 0 and admitted == 1 then
    local finish = now + hold
    call("SET", KEYS[count + 1], finish, expiry, string.format("%d", finish / 1000 + offset))
  end
end

answer[count + 1] = 2 * now + admitted
return answer
