-- A ring of prepared requests, one for each line of the file: its Cookie header, or nothing.
-- wrk … -s wrk.lua URL -- FILE HOST [KEY]
local requests, at = {}, 0

function init(args)
  for cookie in io.lines(args[1]) do
    local headers = { Host = args[2] }
    if cookie ~= "" then headers["Cookie"] = cookie end
    if args[3] then headers["apikey"] = args[3] end
    requests[#requests + 1] = wrk.format("GET", "/", headers)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

-- One line of JSON: times in microseconds.
function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format(
    '\n{"requests":%d,"elapsed":%d,"failed":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration, failed, latency:percentile(50), latency:percentile(99)
  ))
end
