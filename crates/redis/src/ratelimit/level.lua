-- A level now: the latest time that was counted in, what is used, and until when its key is kept.
local function level(before, now, ceiling, refill, tick)
  if not before then return now, 0, 0 end
  local at, used, kept = struct.unpack("<i8i8i8", before)
  if used > ceiling then used = ceiling end
  if at < now then
    used = used - (now - now % tick - at + at % tick) / tick * refill
    if used < 0 then used = 0 end
    at = now
  end
  return at, used, kept
end

-- When a level is drained, and until when to keep it if that is later than it is kept already: for twice as long, so that the next charges
-- need not move the expiry again. A hundred years are for ever.
local function level_end(at, used, now, refill, tick)
  local rest = used % refill
  local drained = at - at % tick + (used - rest) / refill * tick
  if rest > 0 then drained = drained + tick end
  if drained > now + 3155760000000000 then drained = now + 3155760000000000 end
  return drained, drained + drained - now
end
