-- The window of an instant: where it starts, where it ends, and where the one after it ends. Windows are as long as `a`, or lie between
-- the edges `a b c d`. What follows the last of these is not known, but none is more than twice as long as the one before it.
local function window(at, is_calendar, a, b, c, d)
  if not is_calendar then
    local start = at - at % a
    return start, start + a, start + 2 * a
  end
  if at < b then return a, b, c end
  if at < c then return b, c, d end
  return c, d, d + 2 * (d - c)
end
