-- perilune.nats: a client of NATS on perilune.net and perilune.tls. Core NATS is at most once: what is published while nobody listens,
-- or while a connection is being lost, may be gone. perilune.queue loses nothing.
local backoff = require "perilune.backoff"
local checks = require "perilune.options"
local client = require "perilune.nats.client"
local connection = require "perilune.nats.connection"
local peri = require "perilune"

local error, huge, ipairs, pairs, tostring, type = error, math.huge, ipairs, pairs, tostring, type

local nats = {}

local kinds <const> = { url = "any", name = "string", user = "string", password = "string", token = "string", tls = "table",
                        timeout = "positive", ping_interval = "positive", attempts = "positive", backoff = "any", on_error = "callable" }

local function read_servers(url, call, level)
  local servers = {}
  for _, each in ipairs(type(url) == "table" and url or { url }) do
    local server, wrong
    if type(each) == "string" then server, wrong = connection.read_url(each) else wrong = "a URL expected, got " .. type(each) end
    if not server then error(("bad option 'url' to '%s' (%s)"):format(call, wrong), level + 1) end
    servers[#servers + 1] = server
  end
  if #servers == 0 then error(("bad option 'url' to '%s' (a URL expected, got none)"):format(call), level + 1) end
  return servers
end

local function log_problem(e) peri.log.warn(e.message or tostring(e)) end

-- For shipped modules that connect on behalf of a call of theirs; `level` is that of the script's call.
function nats.connect_(given, call, level)
  checks.check(given, call, 1, kinds, level + 1)
  local servers = read_servers(given.url or "nats://127.0.0.1", call, level + 1)
  local options = { timeout = 5, ping_interval = 30, attempts = huge, on_error = log_problem, name = "perilune" }
  for name, value in pairs(given) do options[name] = value end
  local plan, wrong = backoff.read(given.backoff or { first = 0.05, max = 2, jitter = 0.5 }, call)
  if not plan then error(wrong, level + 1) end
  options.backoff = plan
  return client.open_(servers, options)
end

-- connect(url [, options]) or connect{url =, ...}
function nats.connect(url, options)
  local given = {}
  if type(url) == "table" and url[1] == nil then url, options = nil, url end
  if options ~= nil and type(options) ~= "table" then
    error(("bad argument #2 to 'connect' (a table of options expected, got %s)"):format(type(options)), 2)
  end
  for name, value in pairs(options or {}) do given[name] = value end
  given.url = url or given.url
  local made = nats.connect_(given, "connect", 2)
  return made
end

return nats
