-- wrk: sends the body of the file POST_BODY with the header fields of POST_HEADERS, one "name: value" a line.
init = function(args)
  local headers = {}
  for line in io.lines(os.getenv("POST_HEADERS")) do
    local name, value = line:match("^([^:]+): (.*)$")
    headers[name] = value
  end
  request_text = wrk.format("POST", nil, headers, io.open(os.getenv("POST_BODY")):read("*a"))
end

request = function()
  return request_text
end

done = function(summary, latency)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format("post %d %d %d\n", summary.requests, summary.duration, errors))
end
