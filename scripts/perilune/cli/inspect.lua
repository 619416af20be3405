-- `perilune inspect`: a running program in the browser. One page, served on localhost alone, which asks for a snapshot every second.
local http = require "perilune.http"
local programs = require "perilune.cli.programs"

local inspect = {}

local function answer(path, request)
  if request.method ~= "GET" then return 405, "only GET\n" end
  -- A page of another site must not read this one by a name that it makes lead here.
  local host = (request.headers.host or ""):match("^[^:]*")
  if host ~= "127.0.0.1" and host ~= "localhost" then return 403, "only for localhost\n" end
  if request.path == "/" then
    return 200, require("perilune.cli.inspect_page"), { ["content-type"] = "text/html; charset=utf-8" }
  elseif request.path == "/snapshot" then
    local snapshot = programs.snapshot_text(path)
    if not snapshot then return 410, "the program has ended\n" end
    return 200, snapshot, { ["content-type"] = "application/json", ["cache-control"] = "no-store" }
  end
  return 404, "nothing here\n"
end

function inspect.main(values, words)
  local path = programs.find(words[1])
  local server = http.serve({ host = "127.0.0.1", port = values.port or 0 }, function(request) return answer(path, request) end)
  print(("http://127.0.0.1:%d/"):format(server.port))
  io.stdout:flush()
  server:wait()
  return 0
end

return inspect
