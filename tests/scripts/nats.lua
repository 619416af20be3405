-- real clock
-- perilune.nats against a real server, and against one that is written by hand: bytes that arrive one by one, lines that are none, ends
-- in the middle, servers that refuse or say nothing.
local peri = require "perilune"
local root = arg[0]:match("^(.*)/tests/") or "."
local check = dofile(root .. "/tests/support/check.lua")
local nats_server = dofile(root .. "/tests/support/nats_server.lua")
local case <close> = check.cases(60)
local equal, same, misuse = check.equal, check.same, check.misuse

local fs = require "perilune.fs"
local nats = require "perilune.nats"
local process = require "perilune.process"
local net = require "perilune.net"

local server <close> = nats_server.start()

local info <const> = 'INFO {"version":"2.9.10","headers":true,"max_payload":1000}\r\n'

-- A server of a few lines: `serve(stream, n)` has the n-th connection; greeted are those for whom it says so.
local function with_fake(serve, body)
  local listener <close> = net.tcp_listen(0)
  local count = 0
  local task = peri.spawn({ name = "fake server" }, function()
    for stream in listener:iter() do
      count = count + 1
      local n = count
      peri.spawn(function()
        local _ <close> = stream
        pcall(serve, stream, n)
      end)
    end
  end)
  body("nats://127.0.0.1:" .. listener.port, function() return count end)
  listener:close()
  task:join()
end

-- Says hello, and returns what the client says up to its PING.
local function greet(stream)
  stream:write(info)
  local connect = stream:read("line")
  stream:read("line")
  stream:write("PONG\r\n")
  return connect
end

local function until_end(stream)
  for line in stream:lines() do
    if line == "PING\r" then stream:write("PONG\r\n") end
  end
end

local function say_nothing(stream)
  for _ in stream:lines() do end
end

local function contains(text, part) equal(text:find(part, 1, true) and part or text, part) end

local function problems()
  local list = {}
  return list, function(e) list[#list + 1] = tostring(e) end
end

case("messages go to who subscribed, with their headers", function()
  local client <close> = nats.connect(server.url)
  equal(client:status(), "connected")
  local all <close> = client:subscribe("a.>")
  local one <close> = client:subscribe("a.*.c", { capacity = 4 })
  equal(client:publish("a.b.c", "bytes \r\n\0", { headers = { Word = "x: y", Number = 3 } }), true)
  local m = one:recv()
  same({ m.subject, m.data, m.headers.Word, m.headers.Number }, { "a.b.c", "bytes \r\n\0", "x: y", "3" })
  equal(all:recv().data, "bytes \r\n\0")
  client:publish("a.x")
  equal(all:recv().data, "")
end)

case("a request is answered, or nobody is there, or nobody answers", function()
  local client <close> = nats.connect(server.url)
  local echo = peri.spawn({ daemon = true }, function()
    local sub <close> = client:subscribe("echo", { group = "all" })
    for m in sub:iter() do
      if m.data ~= "silence" then client:respond(m, m.data:upper(), { Kind = "echo" }) end
    end
  end)
  client:flush()
  peri.yield()
  client:flush()
  local reply = client:request("echo", "hello")
  equal(reply.data, "HELLO")
  equal(reply.headers.Kind, "echo")
  same({ client:request("echo", "silence", { timeout = 0.05 }) }, { nil, "timeout" })
  same({ client:request("nobody", "x") }, { nil, "no responders" })
  local results = peri.map({ "a", "b", "c", "d" }, function(word) return client:request("echo", word).data end, { concurrency = 4 })
  same({ results[1], results[2], results[3], results[4] }, { "A", "B", "C", "D" })
  echo:cancel()
  echo:join()
end)

case("who is slower than the server loses the oldest, and is told how many", function()
  local client <close> = nats.connect(server.url)
  local sub <close> = client:subscribe("fast", { capacity = 3 })
  for i = 1, 10 do client:publish("fast", i) end
  equal(client:flush(), true)
  same({ sub:recv() }, { nil, "lagged", 7 })
  same({ sub:recv().data, sub:recv().data, sub:recv().data }, { "8", "9", "10" })
end)

case("a subscription ends after a number of messages, when it is closed, and with the client", function()
  local client = nats.connect(server.url)
  local two, open, third = client:subscribe("n", { max = 2 }), client:subscribe("n"), client:subscribe("n")
  for i = 1, 3 do client:publish("n", i) end
  client:flush()
  same({ two:recv().data, two:recv().data }, { "1", "2" })
  same({ two:recv() }, { nil, "closed" })
  third:close()
  client:close()
  client:close()
  local seen = {}
  for m in open:iter() do seen[#seen + 1] = m.data end
  same(seen, { "1", "2", "3" })
  equal(client:status(), "closed")
  same({ client:publish("n", "x") }, { nil, "closed" })
  same({ client:request("n", "x") }, { nil, "closed" })
  same({ client:flush() }, { nil, "closed" })
end)

case("a subscription is an operation; what it loses a select with is not lost", function()
  local client <close> = nats.connect(server.url)
  local sub <close> = client:subscribe("op")
  equal(peri.select { message = sub:recv_op(), late = peri.sleep_op(0.01) }, "late")
  client:publish("op", "x")
  local key, m = peri.select { message = sub:recv_op(), late = peri.sleep_op(5) }
  same({ key, m.data }, { "message", "x" })
end)

case("a client belongs to the task that opened it", function()
  local client
  peri.spawn(function() client = nats.connect(server.url) end):join()
  equal(client:status(), "closed")
end)

case("a server that dies and comes back: subscriptions are there, what is sent meanwhile waits", function()
  local own <close> = nats_server.start()
  local told, on_error = problems()
  local client <close> = nats.connect(own.url, { on_error = on_error, backoff = { first = 0.02, max = 0.1 } })
  local sub <close> = client:subscribe("s")
  client:publish("s", "before")
  equal(sub:recv().data, "before")
  local answer = peri.spawn(function() return client:request("s", "nobody answers", { timeout = 20 }) end)
  sub:recv()
  own:kill()
  same({ answer:await() }, { nil, "disconnected" })
  local later = peri.spawn(function() return client:publish("s", "after") end)
  peri.sleep(0.1)
  equal(client:status(), "reconnecting")
  own:start()
  equal(later:await(), true)
  equal(sub:recv().data, "after")
  equal(#told > 0, true)
  equal(client.reconnects, 1)
end)

case("a client that may not try for ever ends with the error, which somebody sees", function()
  local told, on_error = problems()
  with_fake(function(stream, n)
    if n == 1 then greet(stream) end
  end, function(url)
    local client = nats.connect(url, { on_error = on_error, attempts = 2, backoff = 0.01 })
    local sub = client:subscribe("x")
    same({ sub:recv() }, { nil, "closed" })
    local ok, e = pcall(client.close, client)
    equal(ok, false)
    equal(e.code, "ECONNRESET")
    client:close()
  end)
end)

case("who is asked for", function()
  local own <close> = nats_server.start { "--user", "ada", "--pass", "x@y" }
  local ok, e = pcall(nats.connect, own.url)
  same({ ok, e.kind, e.code }, { false, "io", "EACCES" })
  contains(tostring(e), "Authorization Violation")
  local by_url <close> = nats.connect((own.url:gsub("//", "//ada:x%%40y@")))
  equal(by_url:flush(), true)
  local by_option <close> = nats.connect { url = own.url, user = "ada", password = "x@y" }
  equal(by_option:flush(), true)
  local with_token <close> = nats_server.start { "--auth", "secret" }
  local token <close> = nats.connect(with_token.url, { token = "secret" })
  equal(token:flush(), true)
end)

case("TLS, by the URL and where the server wants it", function()
  local folder = fs.temp_dir()
  local _ <close> = peri.defer(function() fs.remove(folder, { recursive = true }) end)
  local cert, key = folder .. "/cert.pem", folder .. "/key.pem"
  process.run { argv = { "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert },
                stderr = "null" }
  local own <close> = nats_server.start { "--tls", "--tlscert", cert, "--tlskey", key }
  for _, scheme in ipairs { "tls", "nats" } do
    local client <close> = nats.connect((own.url:gsub("nats", scheme)), { tls = { ca_file = cert } })
    local sub <close> = client:subscribe("x")
    client:publish("x", ("y"):rep(200000))
    equal(#sub:recv().data, 200000)
  end
  local ok, e = pcall(nats.connect, own.url)
  same({ ok, e.code }, { false, "EKEYREJECTED" })
end)

case("no server, one that says nothing, and one that is none", function()
  local ok, e = pcall(nats.connect, "nats://127.0.0.1:1")
  same({ ok, e.kind, e.code }, { false, "io", "ECONNREFUSED" })
  with_fake(say_nothing, function(url)
    local _, silent = pcall(nats.connect, url, { timeout = 0.05 })
    equal(silent.code, "ETIMEDOUT")
  end)
  for _, first in ipairs { "HTTP/1.1 400 Bad Request\r\n\r\n", "PONG\r\n", "INFO {\r\n", "INFO 3\r\n", "\r\n", "\0\1\2\r\n" } do
    with_fake(function(stream) stream:write(first) stream:flush() until_end(stream) end, function(url)
      local _, wrong = pcall(nats.connect, url, { timeout = 5 })
      same({ wrong.kind, wrong.code }, { "io", "EPROTO" })
    end)
  end
  with_fake(function() end, function(url)
    local _, ended = pcall(nats.connect, url)
    equal(ended.code, "ECONNRESET")
  end)
  with_fake(say_nothing, function(url)
    local both <close> = nats.connect({ url, server.url }, { timeout = 0.05 })
    equal(both:flush(), true)
  end)
end)

case("what a client says first", function()
  local said
  with_fake(function(stream)
    said = greet(stream)
    until_end(stream)
  end, function(url)
    local client <close> = nats.connect((url:gsub("//", "//us%%3Aer:pa%%20ss@")), { name = "me" })
    equal(client.info.max_payload, 1000)
  end)
  local options = require("perilune.json").decode(said:match("^CONNECT (.*)\r$"))
  same({ options.user, options.pass, options.name, options.headers, options.no_responders, options.verbose },
       { "us:er", "pa ss", "me", true, true, false })
end)

case("bytes that arrive one by one are the same messages", function()
  local talk = "MSG a 1 3\r\nabc\r\nPING\r\nHMSG a 1 r 22 25\r\nNATS/1.0\r\nK: \tv v\r\n\r\nx\r\ny\r\nmsg a 1 0\r\n\r\n+OK\r\n"
  talk = talk:gsub("22 25", function()
    local head = "NATS/1.0\r\nK: \tv v\r\n\r\n"
    return ("%d %d"):format(#head, #head + 4)
  end)
  local pong
  with_fake(function(stream)
    greet(stream)
    stream:read("line")
    for byte in talk:gmatch(".") do stream:write(byte):flush() end
    pong = stream:read("line")
    until_end(stream)
  end, function(url)
    local client <close> = nats.connect(url)
    local sub <close> = client:subscribe("a")
    equal(sub:recv().data, "abc")
    local m = sub:recv()
    same({ m.data, m.reply, m.headers.K }, { "x\r\ny", "r", "v v" })
    equal(sub:recv().data, "")
  end)
  equal(pong, "PONG\r")
end)

case("what is not the protocol ends the connection, not the client", function()
  local wrong = { "MSG a 1\r\n", "MSG a 1 x\r\n", "MSG a 1 -1\r\n", "MSG a 1 99999999999\r\n", "MSG a 1 1\r\nabc\r\n", "HMSG a 1 9 3\r\nabc\r\n",
                  "HMSG a 1 3 3\r\nabc\r\n", "WHAT\r\n", ("x"):rep(2 << 20), "MSG a 1 5\r\nab" }
  local told, on_error = problems()
  with_fake(function(stream, n)
    greet(stream)
    if not wrong[n] then stream:read("line") end
    stream:write(wrong[n] or "MSG a 1 2\r\nok\r\n"):flush()
    if n > #wrong then until_end(stream) end
  end, function(url, count)
    local client <close> = nats.connect(url, { on_error = on_error, backoff = 0.001 })
    local sub <close> = client:subscribe("a")
    local m = sub:recv()
    equal(m.data, "ok")
    equal(count(), #wrong + 1)
  end)
  equal(#told >= #wrong, true)
end)

case("what a server refuses is told, also when it goes on", function()
  local told, on_error = problems()
  with_fake(function(stream)
    greet(stream)
    stream:read("line")
    stream:write("-ERR 'Permissions Violation for Publish to \"x\"'\r\nMSG a 1 1\r\nx\r\n")
    until_end(stream)
  end, function(url)
    local client <close> = nats.connect(url, { on_error = on_error })
    equal(client:subscribe("a"):recv() ~= nil, true)
  end)
  equal(table.concat(told, '; '), told[1])
  contains(told[1], "Permissions Violation")
end)

case("a connection that gives no sign of life is left", function()
  local told, on_error = problems()
  with_fake(function(stream)
    greet(stream)
    say_nothing(stream)
  end, function(url, count)
    local client <close> = nats.connect(url, { ping_interval = 0.02, on_error = on_error, backoff = 0.01 })
    check.wait_until(function() return count() >= 3 end)
  end)
end)

case("limits of the server, before anything is sent", function()
  with_fake(function(stream)
    greet(stream)
    until_end(stream)
  end, function(url)
    local client <close> = nats.connect(url)
    misuse("at most 1000 bytes", function() client:publish("a", ("x"):rep(1001)) end)
    misuse("at most 1000 bytes", function() client:publish("a", ("x"):rep(990), { headers = { a = "b" } }) end)
    equal(client:publish("a", ("x"):rep(1000)), true)
  end)
end)

case("misuse is told at the caller's line", function()
  misuse("bad option 'url' to 'connect'", function() nats.connect("http://x") end)
  misuse("no host", function() nats.connect("nats://") end)
  misuse("a port from", function() nats.connect("nats://x:99999") end)
  misuse("bad option 'timeout' to 'connect'", function() nats.connect("nats://x", { timeout = 0 }) end)
  misuse("unknown option 'tokn'", function() nats.connect("nats://x", { tokn = "" }) end)
  misuse("bad argument #2 to 'connect'", function() nats.connect("nats://x", 3) end)
  misuse("bad option 'backoff' to 'connect'", function() nats.connect { url = "nats://x", backoff = "x" } end)
  local client <close> = nats.connect(server.url)
  misuse("bad argument #1 to 'publish'", function() client:publish("a b", "x") end)
  misuse("without '>'", function() client:publish("a.>", "x") end)
  misuse("bad argument #2 to 'publish'", function() client:publish("a", {}) end)
  misuse("bad option 'headers' to 'publish'", function() client:publish("a", "x", { headers = { ["a b"] = "x" } }) end)
  misuse("no string of one line", function() client:publish("a", "x", { headers = { a = "x\r\ny" } }) end)
  misuse("bad argument #1 to 'subscribe'", function() client:subscribe("") end)
  misuse("bad option 'capacity' to 'subscribe'", function() client:subscribe("a", { capacity = 0 }) end)
  misuse("bad option 'timeout' to 'request'", function() client:request("a", "x", { timeout = -1 }) end)
  misuse("bad argument #1 to 'flush'", function() client:flush("x") end)
  misuse("bad argument #1 to 'respond'", function() client:respond({ data = "x" }, "y") end)
end)
