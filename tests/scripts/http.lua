-- real clock
-- perilune.http: client and server over real sockets, each also against bytes written by hand.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal, same, misuse = check.equal, check.same, check.misuse

local http = require "perilune.http"
local net = require "perilune.net"

local function with_server(handler, body)
  local server <close> = http.serve("127.0.0.1:0", handler)
  body("http://127.0.0.1:" .. server.port, server)
end

-- What a server of raw bytes answers each connection with; the request's head goes to `heads`.
local function with_raw_server(answer, body)
  local listener <close> = net.tcp_listen(0)
  local heads = {}
  local server = peri.spawn(function()
    for stream in listener:iter() do
      local _ <close> = stream
      for line in stream:lines() do
        if line == "\r" then break end
        heads[#heads + 1] = (line:gsub("\r", ""))
      end
      stream:write(answer)
      stream:flush()
    end
  end)
  body("http://127.0.0.1:" .. listener.port, heads)
  listener:close()
  server:join()
end

local function raw(server, bytes)
  local stream <close> = net.tcp_connect("127.0.0.1", server.port)
  stream:write(bytes)
  stream:shutdown()
  return stream:read("all")
end

case("a handler sees the request, and its answer comes back", function()
  with_server(function(request)
    return 201, table.concat({ request.method, request.path, request.query.a, request.headers["X-Word"], request.body }, " "), { ["X-Made"] = "yes" }
  end, function(url)
    local response = http.post(url .. "/some%20path?a=b%26c&d", "body", { headers = { ["x-word"] = "word" } })
    equal(response.status, 201)
    equal(response.reason, "Created")
    equal(response.body, "POST /some path b&c word body")
    equal(response.headers["x-made"], "yes")
    equal(response.headers["X-MADE"], "yes")
  end)
end)

case("what a handler may return", function()
  local answers = {
    ["/text"] = function() return "text" end, ["/status"] = function() return 404 end, ["/nothing"] = function() end,
    ["/table"] = function() return { status = 202, headers = { a = "b" }, body = "in a table" } end,
    ["/pieces"] = function()
      local n = 0
      return function()
        n = n + 1
        return n <= 3 and ("piece %d;"):format(n) or nil
      end
    end,
  }
  with_server(function(request) return answers[request.path]() end, function(url)
    local function got(path)
      local response = http.get(url .. path)
      return { response.status, response.body }
    end
    same(got "/text", { 200, "text" })
    same(got "/status", { 404, "" })
    same(got "/nothing", { 204, "" })
    same(got "/table", { 202, "in a table" })
    same(got "/pieces", { 200, "piece 1;piece 2;piece 3;" })
  end)
end)

case("a body can be read in pieces, and sent in pieces", function()
  with_server(function(request) return request.body end, function(url)
    local left = 20
    local response = http.request { url = url, body = function()
      left = left - 1
      return left >= 0 and ("x"):rep(10000) or nil
    end, stream = true }
    local size = 0
    for piece in response.stream:pieces() do size = size + #piece end
    equal(size, 200000)
  end)
end)

case("a handler that raises is answered with 500, and the server goes on", function()
  local stderr, said = io.stderr, ""
  io.stderr = { write = function(_, ...) said = said .. table.concat { ... } end }
  with_server(function(request)
    if request.path == "/bad" then error("no good") end
    return "fine"
  end, function(url)
    equal(http.get(url .. "/bad").status, 500)
    equal(http.get(url .. "/good").body, "fine")
  end)
  io.stderr = stderr
  equal(said:find("GET /bad: .*no good") ~= nil, true)
end)

case("redirects are followed, up to a number", function()
  with_server(function(request)
    if request.path == "/end" then return request.method end
    if request.path == "/loop" then return 302, "", { location = "/loop" } end
    return 303, "", { location = "/end" }
  end, function(url)
    local response = http.post(url .. "/start", "x")
    equal(response.body, "GET")
    equal(response.url, url .. "/end")
    equal(http.get(url .. "/start", { redirects = 0 }).status, 303)
    local ok, e = pcall(http.get, url .. "/loop")
    equal(ok, false)
    equal(tostring(e):find("too many redirects", 1, true) ~= nil, true)
  end)
end)

case("connections are kept, and closed when asked", function()
  with_server(function(request) return request.path end, function(_, server)
    local answer = raw(server, "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    equal(answer:match("/a(HTTP/1.1 200 OK)"), "HTTP/1.1 200 OK")
    equal(answer:sub(-2), "/b")
    equal(raw(server, "GET /old HTTP/1.0\r\n\r\n"):match("connection: close"), "connection: close")
    equal(raw(server, "HEAD /h HTTP/1.1\r\nHost: x\r\n\r\n"):match("content%-length: 2\r\n.*\r\n\r\n$") ~= nil, true)
  end)
end)

case("what is no HTTP is refused with its status", function()
  with_server(function() return "" end, function(_, server)
    local function status(bytes) return raw(server, bytes):match("^HTTP/1.1 (%d+)") end
    equal(status("rubbish\r\n\r\n"), "400")
    equal(status("GET / HTTP/3.0\r\nHost: x\r\n\r\n"), "505")
    equal(status("GET / HTTP/1.1\r\n\r\n"), "400")
    equal(status("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"), "400")
    equal(status("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "400")
    equal(status("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx"), "400")
    equal(status("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nx"), "413")
  end)
end)

case("a body beyond the limit is refused", function()
  local server <close> = http.serve(0, function() return "" end, { body_limit = 10 })
  equal(http.post("http://127.0.0.1:" .. server.port, ("x"):rep(11)).status, 413)
  equal(http.post("http://127.0.0.1:" .. server.port, ("x"):rep(10)).status, 200)
end)

case("the client reads chunks, lengths, and bodies that end with the connection", function()
  local function body_of(answer)
    local body
    with_raw_server(answer, function(url) body = http.get(url).body end)
    return body
  end
  equal(body_of("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\ntrailer: t\r\n\r\n"), "abcde")
  equal(body_of("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcdef"), "abc")
  equal(body_of("HTTP/1.0 200 OK\r\n\r\nto the end"), "to the end")
  equal(body_of("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"), "x")
end)

case("a response that ends in the middle raises", function()
  for _, answer in ipairs { "", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", "rubbish\r\n\r\n" } do
    with_raw_server(answer, function(url) equal(pcall(http.get, url), false) end)
  end
end)

case("what is sent has no room for other headers", function()
  with_raw_server("HTTP/1.1 204 No Content\r\n\r\n", function(url, heads)
    http.get(url .. "/p", { headers = { ["x-a"] = "one\r\nx-b: two" } })
    equal(heads[1], "GET /p HTTP/1.1")
    equal(table.concat(heads, "|"):find("|x-b:", 1, true), nil)
  end)
end)

case("a time limit ends a request", function()
  local listener <close> = net.tcp_listen(0)
  local ok, e = pcall(http.get, "http://127.0.0.1:" .. listener.port, { timeout = 0.02 })
  equal(ok, false)
  equal(e.kind, "timeout")
end)

case("close answers what is under way, and closes connections that wait", function()
  local began, go = peri.oneshot(), peri.oneshot()
  local server = http.serve(0, function()
    began:send(true)
    go:recv()
    return "in the end"
  end)
  local idle <close> = net.tcp_connect("127.0.0.1", server.port)
  local request = peri.spawn(http.get, "http://127.0.0.1:" .. server.port)
  began:recv()
  local closing = peri.spawn(server.close, server)
  peri.yield()
  go:send(true)
  equal(request:await().body, "in the end")
  closing:await()
  equal(idle:read("all"), "")
  equal(pcall(net.tcp_connect, "127.0.0.1", server.port), false)
end)

case("misuse is told at its line", function()
  misuse("bad argument #1 to 'get' (a URL expected, got nil)", function() http.get() end)
  misuse("no URL: nowhere", function() http.get("nowhere") end)
  local there = package.preload["perilune.tls"]
  package.preload["perilune.tls"] = function() error("not in this build") end
  misuse("https needs perilune.tls", function() http.get("https://localhost:1/") end)
  package.preload["perilune.tls"] = there
  misuse("bad option 'timeout' to 'get' (seconds expected, got string)", function() http.get("http://x", { timeout = "soon" }) end)
  misuse("unknown option 'metod' to 'get'; did you mean 'method'?", function() http.get("http://x", { metod = "GET" }) end)
  misuse("bad argument #3 to 'post' (a table of options expected, got number)", function() http.post("http://x", "", 3) end)
  misuse("bad argument #2 to 'serve' (a function expected, got nil)", function() http.serve(0) end)
  misuse("bad argument #1 to 'serve' (a host expected, got nil)", function() http.serve(nil, print) end)
end)

case("nothing in a request or a response can end its head early", function()
  with_server(function() return 200, "x", { ["two words"] = "value" } end, function(url)
    equal(http.get(url).status, 500)
    for _, path in ipairs { "/a b", "/\r\nInjected: 1", "/\n", "/\0" } do
      check.raises("no URL, it has a space or a control character: \"http://127", http.get, url .. path)
    end
    misuse([[bad option 'method' to 'request' ("A B" is no method)]], function() http.request(url, { method = "A B" }) end)
    misuse([[bad option 'headers' to 'get' ("a:" is no name of a header field)]], function() http.get(url, { headers = { ["a:"] = "b" } }) end)
    misuse([[bad option 'headers' to 'post' ("1" is no name of a header field)]], function() http.post(url, "", { headers = { "b" } }) end)
    misuse("bad option 'timeout' to 'get' (seconds expected, got -1)", function() http.get(url, { timeout = -1 }) end)
  end)
  misuse("no port from 0 to 65535: http://127.0.0.1:99999/", function() http.get("http://127.0.0.1:99999/") end)
end)

case("a location with a space is gone to", function()
  with_server(function(request)
    if request.path == "/" then return 302, "", { Location = "/two words" } end
    return request.path
  end, function(url) equal(http.get(url).body, "/two words") end)
end)

case("a piece of a body that is no string is told", function()
  with_server(print, function(url)
    check.raises("a piece of a body must be a string, got a number", http.post, url, function() return 5 end)
  end)
end)

case("what a server does not read to its end is answered at once", function()
  with_server(print, function(_, server)
    local function first_line_of(bytes)
      local stream <close> = net.tcp_connect("127.0.0.1", server.port)
      stream:write(bytes)
      return (stream:read("line"):gsub("\r", ""))
    end
    local head = "POST / HTTP/1.1\r\nHost: x\r\n"
    equal(first_line_of(head .. "Content-Length: 99999999999999999999999\r\n\r\n"), "HTTP/1.1 413 Content Too Large")
    equal(first_line_of(head .. "Transfer-Encoding: chunked\r\n\r\n" .. ("F"):rep(18) .. "\r\n"), "HTTP/1.1 400 Bad Request")
    equal(first_line_of("GET /" .. ("x"):rep(20000)), "HTTP/1.1 431 Request Header Fields Too Large")
  end)
end)
