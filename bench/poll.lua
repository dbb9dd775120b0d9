-- wrk: polls as nodes do, with the keys of the file POLL_KEYS in turn and the ETag POLL_ETAG.
-- POLL_PAUSE: ms that a connection rests between two polls; without it there is no rest.
local requests = {}
local turn = 0

init = function(args)
  for key in io.lines(os.getenv("POLL_KEYS")) do
    local headers = { ["authorization"] = "Bearer " .. key, ["if-none-match"] = os.getenv("POLL_ETAG") }
    requests[#requests + 1] = wrk.format("GET", nil, headers)
  end
end

request = function()
  turn = turn % #requests + 1
  return requests[turn]
end

local pause = tonumber(os.getenv("POLL_PAUSE"))
if pause > 0 then
  delay = function()
    return pause
  end
end

done = function(summary, latency)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format("poll %d %d %d %d %d %d %d\n", summary.requests, summary.duration, summary.bytes, errors,
    latency:percentile(50), latency:percentile(99), latency.max))
end
