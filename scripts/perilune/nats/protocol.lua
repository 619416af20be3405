-- The protocol of NATS: what a server says, read from a stream as one event after the other, and what a client says, as text. Lines
-- end with CRLF; MSG and HMSG are followed by as many bytes as they name. What is not that raises kind "io", code EPROTO, and
-- nothing that follows on the same stream can be trusted. Knows nothing of connections.
local json = require "perilune.json"
local peri = require "perilune"
local problem = require "perilune.nats.problem"

local error, ipairs, pairs, pcall, tonumber, tostring, type = error, ipairs, pairs, pcall, tonumber, tostring, type
local concat, sort = table.concat, table.sort
local is_error = peri.is_error

local protocol = {}

local longest_line <const> = 1 << 20 -- bytes; an INFO names all servers of a cluster
local longest_payload <const> = 64 << 20 -- the most that a server can be told to let through

local function refuse(text) error(problem("EPROTO", "nats: " .. text), 0) end

local function shown(line)
  if #line > 60 then line = line:sub(1, 60) .. "..." end
  return (line:gsub("%c", "?"))
end

-- Reading -------------------------------------------------------------------------------------------------------------

local function read_line(stream)
  local ok, line = pcall(stream.read, stream, "line", longest_line)
  if not ok then
    if is_error(line, "limit") then refuse("a line of more than " .. longest_line .. " bytes") end
    error(line, 0)
  end
  return line and line:gsub("\r$", "")
end

local function read_bytes(stream, count)
  local bytes = stream:read(count + 2)
  if not bytes or #bytes < count + 2 then error(problem("ECONNRESET", "nats: the connection ended in a message"), 0) end
  if bytes:sub(-2) ~= "\r\n" then refuse("a message is longer than it says") end
  return bytes:sub(1, -3)
end

local function read_size(text)
  local size = #text <= 10 and text:match("^%d+$") and tonumber(text)
  if not size then refuse("no size of a message: " .. shown(text)) end
  if size > longest_payload then refuse("a message of " .. text .. " bytes") end
  return size
end

-- The head of a message: fields by their names as they were written, what comes again is added behind a comma; and the status that
-- servers speak with.
function protocol.read_head(head)
  local status, description, rest = head:match("^NATS/1%.0[ \t]*(%d*)[ \t]*([^\r\n]*)\r\n(.*)$")
  if not status or head:sub(-4) ~= "\r\n\r\n" then refuse("no head of a message: " .. shown(head)) end
  local fields = {}
  for line in rest:sub(1, -3):gmatch("(.-)\r\n") do
    local name, value = line:match("^([^:%s]+):[ \t]*(.-)[ \t]*$")
    if not name then refuse("no field of a message's head: " .. shown(line)) end
    fields[name] = fields[name] and fields[name] .. "," .. value or value
  end
  return fields, tonumber(status), description ~= "" and description or nil
end

local function words_of(text)
  local words = {}
  for word in text:gmatch("[^ \t]+") do words[#words + 1] = word end
  return words
end

local readers = {}

function readers.MSG(stream, text)
  local words = words_of(text)
  if #words ~= 3 and #words ~= 4 then refuse("MSG with " .. #words .. " arguments") end
  local size = read_size(words[#words])
  return { subject = words[1], sid = words[2], reply = words[4] and words[3], data = read_bytes(stream, size) }
end

function readers.HMSG(stream, text)
  local words = words_of(text)
  if #words ~= 4 and #words ~= 5 then refuse("HMSG with " .. #words .. " arguments") end
  local head, size = read_size(words[#words - 1]), read_size(words[#words])
  if head > size then refuse("HMSG with a head longer than the whole") end
  local bytes = read_bytes(stream, size)
  local fields, status, description = protocol.read_head(bytes:sub(1, head))
  return { subject = words[1], sid = words[2], reply = words[5] and words[3], data = bytes:sub(head + 1), headers = fields, status = status,
           description = description }
end

function readers.INFO(_, text)
  local info = json.decode(text)
  if type(info) ~= "table" then refuse("INFO without an object: " .. shown(text)) end
  return info
end

readers["-ERR"] = function(_, text) return text:match("^'(.*)'$") or text end
readers.PING = function() return true end
readers.PONG = readers.PING
readers["+OK"] = readers.PING

-- The next event: its name and what it says; nil at the end of the stream.
function protocol.read(stream)
  local line = read_line(stream)
  if not line then return nil end
  local name, text = line:match("^([%a+-]+)[ \t]*(.*)$")
  name = name and name:upper()
  local reader = readers[name]
  if not reader then refuse("unknown: " .. shown(line)) end
  return name, reader(stream, text)
end

-- Writing -------------------------------------------------------------------------------------------------------------

-- A head with the fields given; nil and what is wrong with them.
function protocol.head(fields)
  local lines = {}
  for name, value in pairs(fields) do
    value = type(value) == "number" and tostring(value) or value
    if type(name) ~= "string" or not name:match("^[!-9;-~]+$") then return nil, "a header's name is visible characters without ':'" end
    if type(value) ~= "string" or value:find("[\r\n]") then return nil, ("the header '%s' is no string of one line"):format(name) end
    lines[#lines + 1] = name .. ": " .. value .. "\r\n"
  end
  sort(lines)
  return "NATS/1.0\r\n" .. concat(lines) .. "\r\n"
end

-- The line before a message.
function protocol.publish(subject, reply, head, data)
  local address = reply and subject .. " " .. reply or subject
  if head then return ("HPUB %s %d %d\r\n"):format(address, #head, #head + #data) end
  return ("PUB %s %d\r\n"):format(address, #data)
end

function protocol.connect(options) return "CONNECT " .. json.encode(options) .. "\r\n" end

function protocol.subscribe(sid, subject, group)
  return ("SUB %s%s %d\r\n"):format(subject, group and " " .. group or "", sid)
end

function protocol.unsubscribe(sid, after) return ("UNSUB %d%s\r\n"):format(sid, after and " " .. after or "") end

-- What is wrong with a subject; `patterns`: `*` and `>` are allowed, as whole words.
function protocol.subject_problem(subject, patterns)
  if type(subject) ~= "string" then return "a subject expected, got " .. type(subject) end
  if subject == "" or #subject > 1024 or subject:find("[%s%c]") or ("." .. subject .. "."):find("..", 1, true) then
    return ("a subject is words between dots, got '%s'"):format(shown(subject))
  end
  for _, word in ipairs { "*", ">" } do
    if not patterns and ("." .. subject .. "."):find("." .. word .. ".", 1, true) then
      return ("a subject without '%s' expected, got '%s'"):format(word, shown(subject))
    end
  end
end

return protocol
