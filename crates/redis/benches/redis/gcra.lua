-- The least that decides exactly: GCRA with one number per key, all or nothing, by the server's clock.
-- ARGV: for each key the microseconds between two calls, and how many microseconds of calls may come at once.
local time = redis.call("TIME")
local now = time[1] * 1000000 + time[2]
local held = redis.call("MGET", unpack(KEYS))
local answer = {1}
for i = 1, #KEYS do
  local interval, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local next_at = math.max(tonumber(held[i] or now), now) + interval
  if next_at - burst > now then return {0, next_at - burst - now} end
  held[i] = next_at
  answer[i + 1] = math.floor((now + burst - next_at) / interval)
end
for i = 1, #KEYS do
  redis.call("SET", KEYS[i], string.format("%.0f", held[i]), "PX", math.ceil((held[i] - now) / 1000))
end
return answer
