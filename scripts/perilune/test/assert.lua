-- The assertions of perilune.test. One that fails raises a text that begins with the caller's line and shows both values.
local peri = require "perilune"
local show = require "perilune.test.show"

local assertions = {}

local function fail(text) error(text, 3) end

local function described(what, text)
  if what == nil then return text end
  return tostring(what) .. ": " .. text
end

local function same_number_or_nan(a, b) return rawequal(a, b) or a == b or (a ~= a and b ~= b) end

-- Whether two values have the same contents. `open` holds the pairs of tables under comparison, since tables may be cyclic.
local function alike(a, b, open)
  if same_number_or_nan(a, b) then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return false end
  if open[a] == b then return true end
  open[a] = b
  for key, value in next, a do
    if not alike(value, rawget(b, key), open) then return false end
  end
  for key in next, b do
    if rawget(a, key) == nil then return false end
  end
  return true
end

function assertions.fail(text) fail(tostring(text)) end

function assertions.truthy(value, what)
  if not value then fail(described(what, "expected a true value, got " .. show.value(value))) end
  return value
end

function assertions.equal(got, expected, what)
  if not same_number_or_nan(got, expected) then fail(described(what, show.unequal(got, expected, alike(got, expected, {})))) end
end

function assertions.same(got, expected, what)
  if not alike(got, expected, {}) then fail(described(what, show.difference(got, expected, alike))) end
end

local function holds(container, part)
  if type(container) == "string" then return type(part) == "string" and container:find(part, 1, true) ~= nil end
  if type(container) ~= "table" then return false end
  for _, value in next, container do
    if alike(value, part, {}) then return true end
  end
  return false
end

function assertions.contains(container, part, what)
  if not holds(container, part) then
    local kind = type(container) == "table" and "a table" or "a text"
    fail(described(what, "expected " .. kind .. " with " .. show.value(part) .. ", got " .. show.value(container)))
  end
end

function assertions.lacks(container, part, what)
  if holds(container, part) then
    local kind = type(container) == "table" and "a table" or "a text"
    fail(described(what, "expected " .. kind .. " without " .. show.value(part) .. ", got " .. show.value(container)))
  end
end

function assertions.raises(part, fn, ...)
  if type(part) ~= "string" then
    error("bad argument #1 to 'raises' (a part of the message expected, got " .. type(part) .. ")", 2)
  end
  local ok, e = pcall(fn, ...)
  if ok then fail("expected an error with " .. show.value(part) .. ", got none") end
  local text = tostring(e)
  if not text:find(part, 1, true) then
    fail("expected an error with " .. show.value(part) .. ", got " .. show.value(text))
  end
  return e
end

function assertions.kind(e, kind)
  if type(kind) ~= "string" then error("bad argument #2 to 'kind' (a kind, a string, expected, got " .. type(kind) .. ")", 2) end
  if peri.is_error(e, kind) then return e end
  local got = peri.is_error(e) and ("one of kind " .. e.kind .. ": " .. tostring(e)) or show.value(e)
  fail("expected an error of kind " .. show.value(kind) .. ", got " .. got)
end

return assertions
