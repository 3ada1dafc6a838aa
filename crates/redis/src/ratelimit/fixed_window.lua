-- A fixed window: its end, what is used, and until when its key is kept. A later end than that of this clock's window stays.
local function fixed_window(before, finish)
  if before then
    local at, used, kept = struct.unpack("<i8i8i8", before)
    if at >= finish then return at, used, kept end
  end
  return finish, 0, 0
end
