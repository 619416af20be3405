-- HTTP/1.1 messages on a stream: heads, and bodies of a length, in chunks, or to the end. Shared by client and server. What does
-- not conform raises a problem (`message.problem`), with the status a server answers it with.
local peri = require "perilune"

local message = {}

local error, getmetatable, ipairs, pairs, pcall, setmetatable = error, getmetatable, ipairs, pairs, pcall, setmetatable
local tonumber, tostring, type = tonumber, tostring, type
local concat = table.concat

local longest_line <const> = 16384
local most_fields <const> = 200

local problem_type = { __tostring = function(p) return p.text end }
function message.refuse(status, text) error(setmetatable({ status = status, text = text }, problem_type), 0) end
function message.is_problem(value) return getmetatable(value) == problem_type end

-- A text in quotes and on one line.
function message.quoted(text) return (("%q"):format(text):gsub("\\\n", "\\n")) end

-- Whether a text may be a method or the name of a header field.
function message.is_token(text) return text:match("^[!#$%%&'*+%-.^_`|~%w]+$") ~= nil end

-- Header fields, found by their name in whatever case.
local fields_type = {}
function fields_type.__index(fields, name) return type(name) == "string" and rawget(fields, name:lower()) or nil end
function message.fields(from)
  local fields = setmetatable({}, fields_type)
  for name, value in pairs(from or {}) do fields[tostring(name):lower()] = value end
  return fields
end

local function read_line(stream)
  local ok, line = pcall(stream.read, stream, "line", longest_line)
  if not ok and peri.is_error(line, "limit") then message.refuse(431, "a line of more than " .. longest_line .. " bytes") end
  if not ok then error(line, 0) end
  return line and line:gsub("\r$", "")
end

local function read_fields(stream)
  local fields, count = message.fields(), 0
  while true do
    local line = read_line(stream)
    if not line then message.refuse(400, "the head ends in the middle") end
    if line == "" then return fields end
    local name, value = line:match("^([^:]*):[ \t]*(.-)[ \t]*$")
    count = count + 1
    if not name or not message.is_token(name) then message.refuse(400, "no header field: " .. line:sub(1, 60)) end
    if count > most_fields then message.refuse(431, "too many header fields") end
    name = name:lower()
    fields[name] = fields[name] and fields[name] .. ", " .. value or value
  end
end

-- The first line and the fields; nil where the stream ends before.
function message.read_head(stream)
  local first = read_line(stream)
  if first == "" then first = read_line(stream) end
  if not first then return nil end
  return first, read_fields(stream)
end

-- Bodies ------------------------------------------------------------------------------------------------------------

local body = {}
body.__index = body
body.__name = "perilune.http_body"

local function of_length(stream, left)
  return function(most)
    if left == 0 then return nil end
    local piece = stream:read("some", math.min(left, most))
    if not piece then message.refuse(400, "the body ends in the middle") end
    left = left - #piece
    return piece
  end
end

local function in_chunks(stream)
  local left, over = 0, false
  return function(most)
    if over then return nil end
    if left == 0 then
      local digits = (read_line(stream) or ""):match("^%s*(%x+)")
      left = digits and #digits < 16 and tonumber(digits, 16)
      if not left then message.refuse(400, "no size of a chunk") end
      if left == 0 then
        read_fields(stream)
        over = true
        return nil
      end
    end
    local piece = stream:read("some", math.min(left, most))
    if not piece then message.refuse(400, "the body ends in the middle") end
    left = left - #piece
    if left == 0 and read_line(stream) ~= "" then message.refuse(400, "a chunk is longer than it says") end
    return piece
  end
end

local function to_the_end(stream)
  return function(most) return stream:read("some", most) end
end

-- The body that a head announces, as an object to read. `open_ended`: without a length it goes on to the end of the stream.
function message.body(stream, fields, open_ended)
  local length, coding = fields["content-length"], fields["transfer-encoding"]
  local next_piece, announced
  if coding then
    if not coding:lower():match("chunked%s*$") then message.refuse(501, "unknown transfer coding " .. coding) end
    next_piece = in_chunks(stream)
  elseif length then
    if not length:match("^%d+$") then message.refuse(400, "content-length is " .. length) end
    announced = tonumber(length)
    next_piece = of_length(stream, announced)
  else
    next_piece = open_ended and to_the_end(stream) or of_length(stream, 0)
  end
  return setmetatable({ next_piece = next_piece, over = false, announced = announced or 0 }, body)
end

-- The next piece, at most `most` bytes; nil at the end.
function body:read(most)
  if most == "all" then return self:read_all() end
  if self.over then return nil end
  local piece = self.next_piece(type(most) == "number" and most or 65536)
  if not piece then
    self.over = true
    if self.on_end then self.on_end() end
  end
  return piece
end

function body:read_all(limit)
  local pieces, size = {}, 0
  local function check(bytes)
    if limit and bytes > limit then message.refuse(413, "the body exceeds " .. limit .. " bytes") end
  end
  check(self.announced)
  for piece in self:pieces() do
    size = size + #piece
    check(size)
    pieces[#pieces + 1] = piece
  end
  return concat(pieces)
end

-- `for piece in body:pieces() do`
function body:pieces()
  return function() return self:read() end
end

function body:close()
  self.over = true
  if self.on_close then self.on_close() end
end
body.__close = body.close

-- Writing -----------------------------------------------------------------------------------------------------------

local function clean(value) return (tostring(value):gsub("[\r\n]+", " ")) end

-- The head, then a body: a string, or a function that gives pieces (in chunks).
function message.write(stream, first, fields, content, without_body)
  local lines, names = { first }, {}
  for name in pairs(fields) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    if not message.is_token(name) then error(message.quoted(name) .. " is no name of a header field", 0) end
    local value = fields[name]
    for _, one in ipairs(type(value) == "table" and value or { value }) do lines[#lines + 1] = clean(name) .. ": " .. clean(one) end
  end
  local head = concat(lines, "\r\n") .. "\r\n\r\n"
  if without_body or content == nil or content == "" then return stream:write(head) end
  if type(content) == "string" then return stream:write(head, content) end
  stream:write(head)
  for piece in content do
    if type(piece) ~= "string" then error("a piece of a body must be a string, got a " .. type(piece), 0) end
    if piece ~= "" then stream:write(("%x\r\n"):format(#piece), piece, "\r\n") end
  end
  stream:write("0\r\n\r\n")
end

-- Sets what says how long the body is.
function message.measure(fields, content, always)
  if type(content) == "string" then
    if always or content ~= "" then fields["content-length"] = #content end
  elseif content ~= nil then
    fields["transfer-encoding"] = "chunked"
  elseif always then
    fields["content-length"] = 0
  end
end

-- Whether the connection may carry another message after this one.
function message.keeps(version, fields)
  local says = (fields.connection or ""):lower()
  if version == "1.0" then return says:find("keep-alive", 1, true) ~= nil end
  return not says:find("close", 1, true)
end

-- "a=1&b=%20" -> { a = "1", b = " " }
function message.decode(text)
  return (text:gsub("%+", " "):gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end
function message.query(text)
  local values = {}
  for pair in (text or ""):gmatch("[^&]+") do
    local name, value = pair:match("^([^=]*)=(.*)$")
    values[message.decode(name or pair)] = message.decode(value or "")
  end
  return values
end

return message
