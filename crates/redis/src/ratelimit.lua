-- Decides over the charges of one slot, all or nothing, and returns what was there before. The caller computes the standings from
-- that by the same arithmetic, which `Limit::charge` of stanchion-ratelimit defines.
--
-- KEYS: one counter each. ARGV: "decide" or "peek"; the time in seconds and microseconds, or two blanks for the server's own; how many
-- milliseconds a counter outlives its use; then six for each counter:
--   "bucket"  capacity and cost in millionths of tokens, refill per tick, microseconds per tick
--   "every"   capacity, length in microseconds;  "between"  capacity, end in seconds and microseconds
-- as: kind, capacity, refill | length | end's seconds, tick | end's microseconds, cost, 1 if it can refuse.
-- A counter is "seconds microseconds used". Every number stays below 2^53, where doubles are exact.

local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local takes = ARGV[1] == "decide"
local seconds, micros, slack = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if not seconds then
  local time = redis.call("TIME")
  seconds, micros = tonumber(time[1]), tonumber(time[2])
end
local now = seconds * 1000000 + micros

local answer = {1, string.format("%.0f", seconds), string.format("%.0f", micros)}
local writes = {}
local held = #KEYS > 0 and redis.call("MGET", unpack(KEYS)) or {}

for i = 1, #KEYS do
  local at = 4 + (i - 1) * 6
  local kind, capacity, second, third = ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local cost, refuses = tonumber(ARGV[at + 5]), ARGV[at + 6] == "1"
  local before = held[i]
  local s, u, used
  if before then
    s, u, used = string.match(before, "^(%S+) (%S+) (%S+)$")
    s, u, used = tonumber(s), tonumber(u), tonumber(used)
  end

  local fits, lasts
  if kind == "bucket" then
    local refill, tick = second, third
    local now_tick = floor(now / tick)
    local tick_at = now_tick
    if before then
      tick_at = floor((s * 1000000 + u) / tick)
      used = min(used, capacity)
      used = max(0, used - max(0, now_tick - tick_at) * refill)
      tick_at = max(tick_at, now_tick)
    else
      used = 0
    end
    fits = used + cost <= capacity
    if fits then used = used + cost end
    local start = tick_at * tick
    s, u = floor(start / 1000000), start % 1000000
    lasts = start + ceil(used / refill) * tick - now
  else
    local end_s, end_u = second, third
    if kind == "every" then
      local finish = (floor(now / second) + 1) * second
      end_s, end_u = floor(finish / 1000000), finish % 1000000
    end
    if not before or s < end_s or (s == end_s and u < end_u) then
      s, u, used = end_s, end_u, 0
    end
    fits = cost == 0 or used + cost <= capacity
    if fits then used = used + cost end
    lasts = (s - seconds) * 1000000 + (u - micros)
  end

  answer[3 + i] = before
  if fits then
    if before or used > 0 then
      -- A hundred years are for ever.
      local expires = min(max(ceil(lasts / 1000), 0) + 1 + slack, 3155760000000)
      writes[#writes + 1] = {KEYS[i], string.format("%.0f %.0f %.0f", s, u, used), string.format("%.0f", expires)}
    end
  elseif refuses then
    answer[1] = 0
  end
end

if takes and answer[1] == 1 then
  for _, write in ipairs(writes) do
    redis.call("SET", write[1], write[2], "PX", write[3])
  end
end
return answer
