-- A sliding window now: its bounds, what it and the one before it have used, and until when its key is kept. A later window than that of
-- this clock stays open.
local function sliding_window(before, window, now, is_calendar, a, b, c, d)
  local start, finish, following = window(now, is_calendar, a, b, c, d)
  if not before then return start, finish, following, 0, 0, 0 end
  local at, current, earlier, kept = struct.unpack("<i8I4I4i8", before)
  if at >= finish then
    start, finish, following = window(at - 1, is_calendar, a, b, c, d)
    if finish ~= at then
      -- None that is known ends there: it is taken to be as long as those that are.
      local length = finish - start
      start, finish, following = at - length, at, at + 2 * length
    end
    return start, finish, following, earlier, current, kept
  end
  if at == start then return start, finish, following, current, 0, kept end
  return start, finish, following, 0, 0, 0
end

-- What the window before has used, times the millionths of it that lie within a window's length of now, rounded up.
local function weighted(earlier, now, start, finish)
  local rest, tick = finish - now, (finish - start) / 1000000
  if rest <= 0 then return 0 end
  local part = rest % tick
  part = (rest - part) / tick + (part > 0 and 1 or 0)
  if part > 1000000 then part = 1000000 end
  return earlier * part
end
