-- perilune.tls: TLS on the streams of perilune.net, by OpenSSL. A stream that is wrapped stays the same object with the same methods;
-- from then on its bytes are encrypted. What fails raises kind "io": a certificate with the code EKEYREJECTED or EKEYEXPIRED, the
-- protocol with EPROTO.
local peri = require "perilune"
local net = require "perilune.net"
local native = require "perilune.native.tls"
local checks = require "perilune.options"
local raise_on_behalf = require "perilune.on_behalf"

local error, ipairs, pairs, pcall, select, setmetatable, type = error, ipairs, pairs, pcall, select, setmetatable, type
local unpack = table.unpack

local tls = {}

local context_kinds <const> = { server = "boolean", verify = "boolean", ca_file = "string", cert_file = "string", key_file = "string",
                                alpn = "table" }
local wrap_kinds <const> = { context = "any", host = "string", timeout = "seconds" }
for name, kind in pairs(context_kinds) do wrap_kinds[name] = kind end

local function bad_option(name, call, expected, got)
  error(("bad option '%s' to '%s' (%s expected, got %s)"):format(name, call, expected, got), 4)
end

local function are_protocols(alpn)
  for _, name in ipairs(alpn) do
    if type(name) ~= "string" or #name < 1 or #name > 255 then return false end
  end
  return true
end

-- Complains at the caller of who calls this.
local function check_options(call, position, options, kinds)
  options = checks.check(options, call, position, kinds, 3)
  if options.alpn and not are_protocols(options.alpn) then
    bad_option("alpn", call, "a list of names of 1 to 255 bytes", "others")
  end
  if (options.cert_file == nil) ~= (options.key_file == nil) then
    error(("bad option '%s' to '%s' (cert_file and key_file go together)"):format(options.cert_file and "cert_file" or "key_file", call), 3)
  end
  if options.server and not options.cert_file then error(("bad option 'server' to '%s' (needs cert_file and key_file)"):format(call), 3) end
  if options.context ~= nil and native.is_context(options.context) == nil then
    bad_option("context", call, "what tls.context returns", type(options.context))
  end
  return options
end

local function make_context(options)
  local verify = options.verify
  if verify == nil then verify = not options.server end
  return native.context(options.server or false, verify, options.ca_file or "", options.cert_file or "", options.key_file or "",
                        unpack(options.alpn or {}))
end

-- The files are read now, and once.
function tls.context(options)
  options = check_options("context", 1, options, context_kinds)
  return (make_context(options))
end

-- What a client has who asks for nothing: the authorities of the system.
local usual
local function context_of(options)
  if options.context then return options.context end
  for name in pairs(context_kinds) do
    if options[name] ~= nil then return make_context(options) end
  end
  usual = usual or make_context {}
  return usual
end

local infos = setmetatable({}, { __mode = "k" })

local function step(stream, session, bytes)
  local output, done = native.step(session, bytes)
  if done == nil then
    pcall(stream.write, stream, output) -- says why; who sent no TLS may have gone
    native.refuse(session)
  end
  if output ~= "" then stream:write(output) end
  return done
end

local function shake_hands(stream, session)
  local bytes = ""
  while not step(stream, session, bytes) do
    bytes = stream:read("some")
    if not bytes then native.refuse(session, true) end
  end
  stream:flush()
  infos[stream] = native.attach(session, stream)
end

-- A stream on which hands were not shaken is good for nothing.
local function secure(stream, context, host)
  local done = false
  local _ <close> = peri.defer(function()
    if not done then stream:close() end
  end)
  shake_hands(stream, native.session(context, host))
  done = true
  return stream
end

local function within(timeout, fn, ...)
  if timeout then return peri.timeout(timeout, fn, ...) end
  return fn(...)
end

-- Whether a name is needed that the certificate must be for.
local function check_host(call, options)
  local server = options.server
  if options.context then server = native.is_context(options.context) end
  if server or options.host or options.verify == false then return end
  error(("bad option 'host' to '%s' (the name that the certificate must be for expected, got nil)"):format(call), 3)
end

function tls.wrap(stream, options)
  if not native.is_stream(stream) then
    error(("bad argument #1 to 'wrap' (a stream that is read and written expected, got %s)"):format(type(stream)), 2)
  end
  options = check_options("wrap", 2, options, wrap_kinds)
  check_host("wrap", options)
  if infos[stream] then error("bad argument #1 to 'wrap' (the stream has TLS already)", 2) end
  return (within(options.timeout, secure, stream, context_of(options), options.host or ""))
end

local function host_of(address)
  if type(address) == "table" then return address.host end
  return address:match("^%[(.*)%]:%d+$") or address:match("^([^:]*):%d+$") or address
end

-- The options stand last, behind an address in the forms that net.tcp_connect takes.
local function split_arguments(...)
  local arguments, count = { ... }, select("#", ...)
  local last = count > 1 and arguments[count]
  if count > 2 and last ~= nil or type(last) == "table" then return last, count, unpack(arguments, 1, count - 1) end
  return {}, count, ...
end

local function connect(options, address, port)
  local ok, stream = pcall(net.tcp_connect, address, port)
  if not ok then return nil, stream end
  return secure(stream, context_of(options), options.host or host_of(address))
end

function tls.connect(...)
  local options, position, address, port = split_arguments(...)
  check_options("connect", position, options, wrap_kinds)
  if options.server or options.context and native.is_context(options.context) then
    error("bad option 'server' to 'connect' (who connects is a client)", 2)
  end
  local stream, problem = within(options.timeout, connect, options, address, port)
  if stream then return stream end
  raise_on_behalf(problem, "tcp_connect", "connect", 2)
end

-- What was agreed on: { version =, cipher =, alpn =, subject = }, nil for a stream without TLS.
function tls.info(stream) return infos[stream] end

return tls
