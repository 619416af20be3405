-- The protocol of NATS as it is read and written: every event from every way its bytes may come, and random bytes, of which each is an
-- event, the end, or refused as what it is.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal, same = check.equal, check.same

local protocol = require "perilune.nats.protocol"
local json = require "perilune.json"

-- A stream that has all its bytes.
local function stream_of(bytes)
  local at = 1
  local stream = {}
  function stream.read(_, what, limit)
    if at > #bytes then return nil end
    local last
    if what == "line" then
      last = bytes:find("\n", at, true)
      local line = bytes:sub(at, (last or #bytes + 1) - 1)
      assert(not limit or #line <= limit)
      at = (last or #bytes) + 1
      return line
    end
    local piece = bytes:sub(at, at + what - 1)
    at = at + what
    return piece
  end
  return stream
end

local function read_all(bytes)
  local stream, events = stream_of(bytes), {}
  while true do
    local name, what = protocol.read(stream)
    if not name then return events end
    events[#events + 1] = { name, what }
  end
end

local function hmsg(subject, head, data) return ("HMSG %s 7 %d %d\r\n%s%s\r\n"):format(subject, #head, #head + #data, head, data) end

local talk = {
  'INFO {"max_payload":10}\r\n', "PING\r\n", "pong\r\n", "+OK\r\n", "-ERR 'Stale Connection'\r\n", "MSG a.b 1 3\r\nabc\r\n",
  "MSG\ta 12 r.x   0\r\n\r\n", hmsg("a", "NATS/1.0\r\n\r\n", "x"), hmsg("a", "NATS/1.0 503\r\n\r\n", ""),
  hmsg("a b", "NATS/1.0 408 Request Timeout\r\nA: 1\r\nA:2\r\nb:\r\n\r\n", "d\r\n"),
}

case("every event is read", function()
  local events = read_all(table.concat(talk))
  local names = {}
  for i, event in ipairs(events) do names[i] = event[1] end
  equal(table.concat(names, " "), "INFO PING PONG +OK -ERR MSG MSG HMSG HMSG HMSG")
  equal(events[1][2].max_payload, 10)
  equal(events[5][2], "Stale Connection")
  same(events[6][2], { subject = "a.b", sid = "1", data = "abc" })
  same(events[7][2], { subject = "a", sid = "12", reply = "r.x", data = "" })
  equal(events[9][2].status, 503)
  local last = events[10][2]
  same({ last.status, last.description, last.headers.A, last.headers.b, last.data, last.reply }, { 408, "Request Timeout", "1,2", "", "d\r\n", "7" })
end)

case("what ends in the middle is no event", function()
  for _, bytes in ipairs(talk) do
    local whole = #read_all(bytes)
    equal(whole, 1)
    for cut = 1, #bytes - 2 do
      local ok, e = pcall(read_all, bytes:sub(1, cut))
      if not ok then equal(e.kind == "io" and (e.code == "EPROTO" or e.code == "ECONNRESET"), true) end
    end
  end
end)

case("random bytes and broken events are refused as such, and nothing else happens", function()
  math.randomseed(20240501)
  local refused, read = 0, 0
  for _ = 1, 5000 do
    local bytes = talk[math.random(#talk)] .. talk[math.random(#talk)]
    for _ = 1, math.random(4) do
      local at, what = math.random(#bytes), math.random(4)
      local piece = what == 1 and "" or what == 2 and string.char(math.random(0, 255)) or what == 3 and tostring(math.random(-9, 1 << 40))
        or bytes:sub(math.random(#bytes), -1)
      bytes = bytes:sub(1, at - 1) .. piece .. bytes:sub(at + math.random(0, 3))
      if bytes == "" then bytes = "\n" end
    end
    local ok, e = pcall(read_all, bytes)
    if ok then
      read = read + 1
    else
      refused = refused + 1
      if not peri.is_error(e, "io") or e.code ~= "EPROTO" and e.code ~= "ECONNRESET" then error(("%q: %s"):format(bytes, tostring(e)), 0) end
    end
  end
  equal(refused > 1000 and read > 50, true)
end)

case("what is written is read again", function()
  math.randomseed(7)
  for _ = 1, 500 do
    local fields, data = {}, {}
    for _ = 1, math.random(0, 3) do fields[("N%d"):format(math.random(99))] = ("v%d: x"):format(math.random(1 << 30)) end
    for i = 1, math.random(0, 50) do data[i] = string.char(math.random(0, 255)) end
    data = table.concat(data)
    local head = protocol.head(fields)
    local line = protocol.publish("a.b", "r", head, data):gsub("^HPUB a.b r", "HMSG a.b 1 r")
    local event = read_all(line .. head .. data .. "\r\n")[1][2]
    same({ event.headers, event.data }, { fields, data })
  end
  equal(protocol.publish("a", nil, nil, "xyz"), "PUB a 3\r\n")
  equal(protocol.subscribe(3, "a.>", "g"), "SUB a.> g 3\r\n")
  equal(protocol.unsubscribe(3, 2), "UNSUB 3 2\r\n")
  equal(json.decode(protocol.connect({ a = 1 }):match("^CONNECT (.*)\r\n$")).a, 1)
end)

case("subjects, and heads that nobody may write", function()
  for _, subject in ipairs { "a", "a.b", "$JS.API", "a*b.c", "_INBOX.x" } do equal(protocol.subject_problem(subject), nil) end
  for _, subject in ipairs { "a.*", "*", ">", "a.>" } do
    equal(protocol.subject_problem(subject, true), nil)
    equal(type(protocol.subject_problem(subject)), "string")
  end
  for _, subject in ipairs { "", ".", "a.", ".a", "a..b", "a b", "a\r\nPING", "a\tb", 3, false, ("x"):rep(2000) } do
    equal(type(protocol.subject_problem(subject, true)), "string")
  end
  for _, fields in ipairs { { ["a:b"] = "x" }, { [""] = "x" }, { a = "x\ny" }, { a = {} }, { "x" }, { ["a\r"] = "x" } } do
    equal(protocol.head(fields), nil)
  end
end)
