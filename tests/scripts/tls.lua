-- real clock
-- perilune.tls over real sockets, with certificates that openssl makes here: what is read and written, who is believed, what fails
-- with which words. https: https.lua.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
if not pcall(require, "perilune.tls") then os.exit(77) end
local case <close> = check.cases()
local equal, same, misuse = check.equal, check.same, check.misuse

local net = require "perilune.net"
local tls = require "perilune.tls"

local certificates = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/certificates.lua")
local at, make_authority, make_certificate = certificates.at, certificates.make_authority, certificates.make_certificate

make_authority("authority")
make_authority("stranger")
make_certificate("good", "authority", "DNS:localhost,IP:127.0.0.1", 30)
make_certificate("other", "authority", "DNS:other.test", 30)
make_certificate("old", "authority", "DNS:localhost", -1)
make_certificate("strange", "stranger", "DNS:localhost", 30)

local function identity(name, more)
  local options = { server = true, cert_file = at(name .. ".pem"), key_file = at(name .. ".key") }
  for key, value in pairs(more or {}) do options[key] = value end
  return options
end
local trusting = { host = "localhost", ca_file = at "authority.pem" }

-- A listener; each connection is given to `serve` once hands were shaken, and what failed before to `refused`.
local function with_server(options, serve, body, refused)
  local context = tls.context(options)
  local listener <close> = net.tcp_listen(0)
  local server = peri.spawn({ name = "server", daemon = true }, function()
    for stream in listener:iter() do
      peri.spawn(function()
        local _ <close> = stream
        local ok, e = pcall(tls.wrap, stream, { context = context })
        if ok then return serve(stream) end
        if refused then refused(e) end
      end)
    end
  end)
  body(listener.port)
  listener:close()
  server:join()
end

local function echo(stream)
  for line in stream:lines() do stream:write(line, "\n") end
end

local function open(port, options) return tls.wrap(net.tcp_connect("127.0.0.1", port), options or trusting) end

-- Bytes ---------------------------------------------------------------------------------------------------------------

case("lines go there and back, and each side sees the other's end", function()
  local server_saw
  with_server(identity "good", function(stream)
    echo(stream)
    server_saw = stream:read("line")
  end, function(port)
    local stream <close> = open(port)
    stream:write("one\ntwo\n")
    equal(stream:read("line"), "one")
    equal(stream:read(3), "two")
    equal(stream:read("line"), "")
    stream:write("half")
    stream:shutdown()
    equal(stream:read("all"), "half\n")
    equal(stream:read("line"), nil)
  end)
  equal(server_saw, nil)
end)

case("the wrapped stream is the stream, and knows its ends and what was agreed on", function()
  with_server(identity("good", { alpn = { "second", "first" } }), echo, function(port)
    local plain = net.tcp_connect("127.0.0.1", port)
    equal(tls.info(plain), nil)
    local stream <close> = tls.wrap(plain, { host = "localhost", ca_file = at "authority.pem", alpn = { "first", "second" } })
    equal(stream, plain)
    same({ stream:peer() }, { "127.0.0.1", port })
    local info = tls.info(stream)
    equal(info.alpn, "second")
    equal(info.version, "TLSv1.3")
    equal(info.subject, "/CN=good")
    equal(type(info.cipher), "string")
  end)
end)

case("more bytes than fit anywhere arrive whole, and a writer waits for a slow reader", function()
  local size <const> = 8 << 20
  local bytes = ("0123456789abcdef"):rep(size // 16)
  with_server(identity "good", function(stream)
    for _ = 1, 4 do stream:write(bytes:sub(1, size // 4)) end
  end, function(port)
    local stream <close> = open(port)
    equal(#stream:read(10), 10)
    equal(stream:read("all") == bytes:sub(11), true)
  end)
end)

case("a read that loses a select loses nothing", function()
  local go = peri.channel(0)
  with_server(identity "good", function(stream)
    go:recv()
    stream:write("abc\ndef\n")
    go:recv()
  end, function(port)
    local stream <close> = open(port)
    equal(peri.select { line = stream:read_op("line"), now = peri.sleep_op(0.01) }, "now")
    go:send(true)
    same({ peri.select { line = stream:read_op("line"), late = peri.sleep_op(60) } }, { "line", "abc" })
    equal(stream:read("line"), "def")
    go:send(true)
  end)
end)

case("a read and a handshake can be cancelled; a stream without a handshake is closed", function()
  local listener <close> = net.tcp_listen(0)
  local stream = net.tcp_connect("127.0.0.1", listener.port)
  local silent <close> = listener:accept()
  same({ peri.try_timeout(0.01, tls.wrap, stream, trusting) }, { nil, "timeout" })
  equal(stream:read(1), nil)
  equal(pcall(stream.write, stream, "x"), false)
  with_server(identity "good", echo, function(port)
    local open_one <close> = open(port)
    same({ peri.try_timeout(0.01, open_one.read, open_one, "line") }, { nil, "timeout" })
    open_one:write("still here\n")
    equal(open_one:read("line"), "still here")
  end)
end)

case("what was read ahead of the handshake is not lost", function()
  local listener <close> = net.tcp_listen(0)
  local server = peri.spawn(function()
    local stream <close> = listener:accept()
    equal(stream:read("line"), "start")
    stream:write("go\n")
    tls.wrap(stream, identity "good")
    stream:write("inside\n")
    return stream:read("all")
  end)
  local stream = net.tcp_connect("127.0.0.1", listener.port)
  stream:write("start\n")
  equal(stream:read("line"), "go")
  tls.wrap(stream, trusting)
  equal(stream:read("line"), "inside")
  stream:write("bye")
  stream:close()
  equal(server:await(), "bye")
end)

-- A wire with somebody at it: passes bytes on to `port` and keeps what the client has sent. Returns its own port and its task.
local function tapped(port)
  local listener = net.tcp_listen(0)
  local kept = {}
  local tap = peri.spawn({ name = "tap" }, function()
    local _ <close> = listener
    local outside <close> = listener:accept()
    local inside <close> = net.tcp_connect("127.0.0.1", port)
    local back = peri.spawn(function()
      for piece in function() return inside:read("some") end do outside:write(piece) end
      outside:shutdown()
    end)
    for piece in function() return outside:read("some") end do
      kept[#kept + 1] = piece
      inside:write(piece)
    end
    inside:shutdown()
    back:join()
  end)
  return listener.port, tap, kept
end

case("nothing of what is written leaves as it is", function()
  with_server(identity "good", echo, function(port)
    local front, tap, kept = tapped(port)
    local stream = open(front)
    stream:write("very secret\n")
    equal(stream:read("line"), "very secret")
    stream:close()
    tap:await()
    local sent = table.concat(kept)
    equal(#sent > 100, true)
    equal(sent:find("secret", 1, true), nil)
  end)
end)

case("a connection that is cut off is no end, on either side", function()
  local ends = peri.channel(1)
  with_server(identity "good", function(stream)
    stream:write("half")
    ends:send { pcall(stream.read, stream, "line") }
  end, function(port)
    local front, tap = tapped(port)
    local stream <close> = open(front)
    equal(stream:read(4), "half")
    tap:cancel()
    tap:join()
    for _, got in ipairs { { pcall(stream.read, stream, "line") }, ends:recv() } do
      equal(got[1], false)
      equal(got[2].code, "ECONNRESET")
    end
  end)
end)

case("bytes that somebody has changed on their way are refused", function()
  local listener <close> = net.tcp_listen(0)
  local go = peri.channel(0)
  local server = peri.spawn(function()
    local stream <close> = listener:accept()
    tls.wrap(stream, identity "good")
    return pcall(stream.read, stream, "line")
  end)
  local wire = net.tcp_connect("127.0.0.1", listener.port)
  local here <close> = net.unix_listen(at "wire")
  local client = peri.spawn(function()
    local stream <close> = tls.wrap(net.unix_connect(at "wire"), trusting)
    go:recv()
    stream:write("true\n")
    pcall(stream.read, stream, "line")
  end)
  local outside <close> = here:accept()
  peri.spawn({ daemon = true }, function()
    for piece in function() return wire:read("some") end do outside:write(piece) end
  end)
  wire:write(outside:read("some")) -- the hello
  wire:write(outside:read("some")) -- the end of the handshake
  go:send(true)
  local record = outside:read("some")
  wire:write(record:sub(1, -2), string.char(record:byte(-1) ~ 1))
  local ok, e = select(2, server:join())
  equal(ok, false)
  equal(e.code, "EPROTO")
  outside:close()
  wire:close()
  client:join()
end)

-- Who is believed -----------------------------------------------------------------------------------------------------

local function refused(options, port)
  local ok, e = pcall(open, port, options)
  equal(ok, false)
  equal(e.kind, "io")
  equal(tostring(e):find("\n", 1, true), nil)
  return e.code .. " " .. e.message
end

for name, why in check.by_name {
  old = "EKEYEXPIRED TLS with localhost: the certificate has expired",
  other = "EKEYREJECTED TLS with localhost: the certificate is for another host",
  strange = "EKEYREJECTED TLS with localhost: the certificate is of an unknown authority (unable to get local issuer certificate)",
} do
  case("a certificate that does not hold is refused: " .. name, function()
    local heard
    with_server(identity(name), echo, function(port)
      equal(refused(trusting, port), why)
    end, function(e) heard = e.message end)
    equal(heard:find("the other side refused", 1, true) ~= nil, true)
  end)
end

case("the authorities are those of the system unless a file names others", function()
  with_server(identity "good", echo, function(port)
    equal(refused({ host = "localhost" }, port):match("^%S+ .-%("),
          "EKEYREJECTED TLS with localhost: the certificate is of an unknown authority (")
  end)
end)

case("an address is checked as an address, and verify = false believes anybody", function()
  with_server(identity "good", echo, function(port)
    local stream <close> = tls.connect("127.0.0.1", port, { ca_file = at "authority.pem" })
    stream:write("x\n")
    equal(stream:read("line"), "x")
  end)
  with_server(identity "strange", echo, function(port)
    equal(refused({ host = "127.0.0.1", ca_file = at "stranger.pem" }, port),
          "EKEYREJECTED TLS with 127.0.0.1: the certificate is for another host")
    local stream <close> = open(port, { verify = false })
    stream:write("x\n")
    equal(stream:read("line"), "x")
  end)
end)

case("a server that verifies asks its clients for a certificate", function()
  local function greet(stream) pcall(function() stream:write(tls.info(stream).subject, "\n") end) end
  local heard
  with_server(identity("good", { verify = true, ca_file = at "authority.pem" }), greet, function(port)
    local known = { host = "localhost", ca_file = at "authority.pem", cert_file = at "other.pem", key_file = at "other.key" }
    local stream <close> = open(port, known)
    equal(stream:read("line"), "/CN=other")
    local stranger <close> = open(port)
    equal(pcall(stranger.read, stranger, "line"), false)
  end, function(e) heard = e.code .. " " .. e.message end)
  equal(heard, "EKEYREJECTED TLS handshake: the other side has shown no certificate")
end)

case("who speaks no TLS is named so, on both sides", function()
  local listener <close> = net.tcp_listen(0)
  local plain = peri.spawn(function()
    local stream <close> = listener:accept()
    stream:read("some")
    stream:write("220 plain text is spoken here\r\n")
    stream:read("all")
  end)
  equal(refused(trusting, listener.port), "EPROTO TLS handshake with localhost: the other side does not speak TLS")
  plain:join()
  local heard
  with_server(identity "good", echo, function(port)
    local stream <close> = net.tcp_connect("127.0.0.1", port)
    stream:write("GET / HTTP/1.1\r\n\r\n")
    pcall(stream.read, stream, "all")
  end, function(e) heard = e.message end)
  equal(heard, "TLS handshake: the other side does not speak TLS")
  local hangs_up = peri.spawn(function()
    local stream <close> = listener:accept()
    stream:read("some")
  end)
  equal(refused(trusting, listener.port), "ECONNRESET TLS handshake with localhost: the other side closed the connection")
  hangs_up:join()
end)

-- Misuse --------------------------------------------------------------------------------------------------------------

case("misuse is told at the caller's line", function()
  local listener <close> = net.tcp_listen(0)
  local stream <close> = net.tcp_connect("127.0.0.1", listener.port)
  misuse("bad argument #1 to 'wrap' (a stream that is read and written expected, got string)", function() tls.wrap("x", {}) end)
  misuse("bad option 'host' to 'wrap' (the name that the certificate must be for expected, got nil)", function() tls.wrap(stream) end)
  misuse("bad option 'verify' to 'wrap' (a boolean expected, got number)", function() tls.wrap(stream, { verify = 0 }) end)
  misuse("unknown option 'ca' to 'wrap'", function() tls.wrap(stream, { ca = "x" }) end)
  misuse("bad option 'server' to 'wrap' (needs cert_file and key_file)", function() tls.wrap(stream, { server = true }) end)
  misuse("bad option 'cert_file' to 'context' (cert_file and key_file go together)", function() tls.context { cert_file = "x" } end)
  misuse("bad option 'context' to 'wrap' (what tls.context returns expected, got table)", function() tls.wrap(stream, { context = {}, host = "x" }) end)
  misuse("bad option 'alpn' to 'context'", function() tls.context { alpn = { "" } } end)
  misuse("bad argument #2 to 'connect' (a port expected, got nil)", function() tls.connect("localhost") end)
  misuse("bad argument #3 to 'connect' (a table of options expected, got number)", function() tls.connect("localhost", 1, 2) end)
  equal(tls.info(stream), nil)
end)

case("files that cannot be used are named", function()
  local function why(options)
    local ok, e = pcall(tls.context, options)
    equal(ok, false)
    return e.code .. " " .. e.message:gsub(certificates.folder, "")
  end
  equal(why { ca_file = at "none" }, "ENOENT TLS authorities /none: No such file or directory")
  equal(why(identity "none"), "ENOENT TLS certificate /none.pem: No such file or directory")
  equal(why { cert_file = at "good.pem", key_file = at "none" }, "ENOENT TLS key /none: No such file or directory")
  equal(why { cert_file = at "good.pem", key_file = at "old.key" }, "EINVAL TLS key /old.key: key values mismatch")
  equal(why { cert_file = at "good.key", key_file = at "good.key" }, "EINVAL TLS certificate /good.key: no start line")
end)

certificates.remove()
