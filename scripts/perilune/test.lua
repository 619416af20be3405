-- perilune.test: tests as tasks on a virtual clock. A test file registers tests; `perilune test FILE` then runs them, each as a
-- task of its own with a time limit, and looks afterwards whether anything was left behind.
--
-- Everything here is a function of the module and of the context `t` that a test is given, alike. The registry is that of
-- the file: a test program loads each file in a VM of its own.
local peri = require "perilune"
local assertions = require "perilune.test.assert"
local cancel = require "perilune.test.cancel"
local leaks = require "perilune.test.leaks"

local native = package.loaded["perilune.native.test"]

local test = {}
for name, assertion in pairs(assertions) do test[name] = assertion end

-- Registering ---------------------------------------------------------------------------------------------------------

local entries = {}                            -- in the order of their registration
local innermost = { before = {}, after = {} } -- the group that is open
local current                                 -- the context of the test that runs

local function bad_argument(number, name, expected, got, level)
  error(("bad argument #%d to '%s' (%s expected, got %s)"):format(number, name, expected, type(got)), (level or 2) + 1)
end

local function check_registering(name, level)
  if not native then error("run this with: perilune test FILE", level + 1) end
  if current then error("'" .. name .. "' called inside a running test", level + 1) end
end

local function check_function(number, name, fn)
  if type(fn) ~= "function" then bad_argument(number, name, "function", fn, 3) end
end

local known_options = { timeout = true, skip = true, ordered = true }

local function check_options(opts)
  if type(opts) ~= "table" then bad_argument(2, "test", "table of options or function", opts, 3) end
  for option in pairs(opts) do
    if not known_options[option] then error("unknown option '" .. tostring(option) .. "' to 'test'", 4) end
  end
  if opts.timeout ~= nil and not (type(opts.timeout) == "number" and opts.timeout > 0) then
    error("bad option 'timeout' to 'test' (seconds above 0 expected)", 4)
  end
  if opts.skip ~= nil and (type(opts.skip) ~= "string" or opts.skip == "") then
    error("bad option 'skip' to 'test' (the reason expected, a text)", 4)
  end
  if opts.ordered ~= nil and type(opts.ordered) ~= "boolean" then
    error("bad option 'ordered' to 'test' (a boolean expected)", 4)
  end
end

local function full_name(group, name)
  while group do
    if group.name then name = group.name .. " > " .. name end
    group = group.parent
  end
  return name
end

local function register(name, opts, fn)
  check_registering("test", 3)
  if type(name) ~= "string" then bad_argument(1, "test", "string", name, 3) end
  if fn == nil and type(opts) == "function" then fn, opts = opts, {} end
  check_options(opts)
  check_function(type(opts) == "table" and fn ~= opts and next(opts) and 3 or 2, "test", fn)
  local place = debug.getinfo(3, "Sl")
  entries[#entries + 1] = {
    name = full_name(innermost, name), group = innermost, fn = fn, timeout = opts.timeout, skip = opts.skip, ordered = opts.ordered,
    file = place.short_src, line = place.currentline,
  }
end

function test.group(name, fn)
  check_registering("group", 2)
  if type(name) ~= "string" then bad_argument(1, "group", "string", name) end
  check_function(2, "group", fn)
  local outer = innermost
  innermost = { name = name, parent = outer, before = {}, after = {} }
  local _ <close> = setmetatable({}, { __close = function() innermost = outer end })
  fn()
end

function test.before(fn)
  check_registering("before", 2)
  check_function(1, "before", fn)
  table.insert(innermost.before, fn)
end

function test.after(fn)
  check_registering("after", 2)
  check_function(1, "after", fn)
  table.insert(innermost.after, fn)
end

-- In a running test ---------------------------------------------------------------------------------------------------

local function check_running(name)
  if not current then error("'" .. name .. "' called outside a running test", 3) end
end

-- What a test raises that skips itself.
local skipped = setmetatable({}, { __name = "perilune.test.skipped" })
skipped.__index = skipped
function skipped:__tostring() return "skipped: " .. self.reason end

function test.skip(reason)
  check_running "skip"
  if type(reason) ~= "string" or reason == "" then bad_argument(1, "skip", "the reason, a text", reason) end
  error(setmetatable({ reason = reason }, skipped), 0)
end

function test.cleanup(fn)
  check_running "cleanup"
  check_function(1, "cleanup", fn)
  table.insert(current.cleanups, fn)
end

function test.elapsed()
  check_running "elapsed"
  return (native.now_ns() - current.began) / 1e9
end

function test.advance(seconds)
  check_running "advance"
  if type(seconds) ~= "number" or not (seconds >= 0) then
    error("bad argument #1 to 'advance' (seconds from 0 on expected, got " .. tostring(seconds) .. ")", 2)
  end
  native.advance(seconds)
end

function test.wait_all_blocked()
  check_running "wait_all_blocked"
  native.advance(0)
end

function test.run_until_idle()
  check_running "run_until_idle"
  native.advance(math.huge)
end

function test.assert_no_leaks()
  check_running "assert_no_leaks"
  local left = leaks.since(current.tasks_before)
  if left then error("left behind: " .. left, 2) end
end

function test.reports()
  check_running "reports"
  collectgarbage()
  return native.take_reports()
end

function test.trace(fn, ...)
  check_running "trace"
  check_function(1, "trace", fn)
  native.seed(current.seed)
  native.start_trace()
  local _ <close> = setmetatable({}, { __close = native.take_trace })
  peri.spawn(fn, ...):await()
  return native.take_trace()
end

function test.cancel_everywhere(fn, check)
  check_running "cancel_everywhere"
  check_function(1, "cancel_everywhere", fn)
  if check ~= nil then check_function(2, "cancel_everywhere", check) end
  return cancel.everywhere(current.seed, fn, check)
end

-- For perilune.test.runner: hands over what the file has registered, and sets the context of the test that runs.
function test.__entries() return entries, skipped end
function test.__enter(context)
  current = context
  return context and setmetatable(context, { __index = test })
end

return setmetatable(test, { __call = function(_, name, opts, fn) register(name, opts, fn) end })
