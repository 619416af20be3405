-- real clock
-- https: client and server of perilune.http with TLS, over real sockets, with certificates that openssl makes here.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
if not pcall(require, "perilune.tls") then os.exit(77) end
local case <close> = check.cases()
local equal, misuse = check.equal, check.misuse

local http = require "perilune.http"
local net = require "perilune.net"
local tls = require "perilune.tls"
local certificates = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/certificates.lua")
local at = certificates.at

certificates.make_authority("authority")
certificates.make_certificate("good", "authority", "DNS:localhost,IP:127.0.0.1", 30)

local function site(name) return { tls = { cert_file = at(name .. ".pem"), key_file = at(name .. ".key") } } end

case("https: the client and the server of perilune.http", function()
  local server <close> = http.serve(0, function(request) return request.method .. " " .. request.path .. " " .. request.body end, site "good")
  local url = "https://localhost:" .. server.port
  local options = { tls = { ca_file = at "authority.pem" } }
  equal(http.get(url .. "/here", options).body, "GET /here ")
  equal(http.post(url .. "/there", "text", options).body, "POST /there text")
  equal(http.get(url, { tls = { verify = false } }).status, 200)
  equal(http.get(url, { tls = tls.context { ca_file = at "authority.pem" } }).ok, true)
  local pieces = {}
  local streamed = http.get(url, { tls = options.tls, stream = true })
  for piece in streamed.stream:pieces() do pieces[#pieces + 1] = piece end
  equal(table.concat(pieces), "GET / ")
  local ok, e = pcall(http.get, url)
  equal(ok, false)
  equal(e.message:match("unknown authority"), "unknown authority")
  ok, e = pcall(http.get, "http://localhost:" .. server.port)
  equal(ok, false)
  equal(peri.is_error(e, "io") or tostring(e):find("closed the connection", 1, true) ~= nil, true)
  equal(http.get(url, options).status, 200)
end)

case("https: a redirect from http goes on with TLS, and a server closes with a handshake under way", function()
  local safe <close> = http.serve(0, function() return "safe" end, site "good")
  local plain <close> = http.serve(0, function() return 302, "", { location = "https://localhost:" .. safe.port .. "/" } end)
  local response = http.get("http://127.0.0.1:" .. plain.port, { tls = { ca_file = at "authority.pem" } })
  equal(response.body, "safe")
  equal(response.url, "https://localhost:" .. safe.port .. "/")
  local silent <close> = net.tcp_connect("127.0.0.1", safe.port)
  peri.sleep(0.01)
end)

case("https: misuse of the option tls is told at the caller's line", function()
  misuse("bad option 'tls' to 'get' (a table of options or a context expected, got string)", function() http.get("https://x/", { tls = "x" }) end)
  misuse("unknown option 'ca' to 'get'", function() http.get("https://x/", { tls = { ca = "x" } }) end)
  misuse("bad option 'server' to 'serve' (needs cert_file and key_file)", function() http.serve(0, print, { tls = {} }) end)
end)

certificates.remove()
