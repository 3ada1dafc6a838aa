-- Counts over the keys of one slot. Composed of these parts: this one, those of the kernels that the call is about, and at the end
-- `decide` or `settle`. The arithmetic is that of stanchion-ratelimit; the caller computes the standings by it from what is answered.
-- Every number is a whole one below 2^53, where doubles are exact. Times are microseconds since 1970, Level's units are millionths.
--
-- KEYS     one counter each, and at the end the hold of the call, if it has one
-- ARGV[1]  in little endian:
--            1 byte   decide: 1 to take the charges, 0 to look; settle: 1 if the call has a hold
--            8 bytes  the time; -1 asks for the server's own
--            8 bytes  decide: how long to hold the call, 0 if not at all; settle: when the call was decided
--          and then for each counter:
--            1 byte   1 Level · 2 FixedWindow, 3 of the calendar · 4 SlidingWindow, 5 of the calendar · 6 Entries
--            1 byte   decide: 1 if it can refuse, and 2 more if it is charged in any case; settle: 1 to add, 0 to give back
--            8 bytes  units
--            40 bytes five numbers:
--                       Level            the most there may be, the ceiling, refill a tick, microseconds a tick
--                       windows          capacity, and their length or the four edges of the calendar
--                       Entries          capacity, how long a charge lasts
-- ARGV[2]  the id of the call in 16 bytes, where it is needed
--
-- A counter of the first three kernels is a string of 24 bytes: `at`, `used`, and until when the key is kept, so that most writes can
-- leave its expiry alone. SlidingWindow's `used` is two cells of four bytes, first that of the current window.
--
-- Functions are made anew for each call, and what they share with their surroundings costs more than what they are handed.

local call, unpack_numbers, pack = redis.call, struct.unpack, struct.pack
local RECORD, CELLS = "<BBi8i8i8i8i8i8", "<i8i8i8"
local numbers = ARGV[1]
local flag, now, span, position = unpack_numbers("<Bi8i8", numbers)

-- By the server's clock a key is kept until an instant. By the caller's it is kept for as long as it has to be, and a day more, since the
-- two clocks may differ. Both are rounded up, and a millisecond is added: a key that is in use does not expire.
local is_by_server, expiry, offset = now < 0, "PXAT", 2
if is_by_server then
  local time = call("TIME")
  now = time[1] * 1000000 + time[2]
else
  expiry, offset = "PX", 86400002 - (now - now % 1000) / 1000
end
