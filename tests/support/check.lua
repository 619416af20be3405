-- Named cases and assertions for test scripts. Each case runs as a task; when the script ends, a failed case fails it.
--
--   local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
--   local case <close> = check.cases()
--   case("CHN-01: a full channel holds back the sender", function() check.equal(1 + 1, 2) end)
local peri = require "perilune"
local check = {}

local function show(value, depth)
  if type(value) == "string" then return ("%q"):format(value) end
  if type(value) ~= "table" or depth > 3 then return tostring(value) end
  local parts, length = {}, value.n or #value
  for i = 1, length do parts[i] = show(value[i], depth + 1) end
  for key, field in pairs(value) do
    local in_list = math.type(key) == "integer" and key >= 1 and key <= length
    if not in_list then parts[#parts + 1] = tostring(key) .. "=" .. show(field, depth + 1) end
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

local function fail(what, level) error(what, (level or 1) + 2) end

local function alike(a, b)
  if rawequal(a, b) or a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return a ~= a and b ~= b end
  for key, value in pairs(a) do
    if not alike(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

-- The same value; numbers of both kinds compare as Lua compares them.
function check.equal(actual, expected)
  if actual ~= expected and (actual == actual or expected == expected) then
    fail("expected " .. show(expected, 0) .. ", got " .. show(actual, 0))
  end
end

-- Tables with equal contents. Build them with table.pack where nils count.
function check.same(actual, expected)
  if not alike(actual, expected) then fail("expected " .. show(expected, 0) .. ", got " .. show(actual, 0)) end
end

function check.truthy(value, what)
  if not value then fail((what or "a true value") .. " expected, got " .. show(value, 0)) end
end

-- A text that contains another, plainly.
function check.contains(text, part)
  if type(text) ~= "string" or not text:find(part, 1, true) then
    fail("expected a text with " .. show(part, 0) .. ", got " .. show(text, 0))
  end
end

function check.lacks(text, part)
  if text:find(part, 1, true) then fail("expected a text without " .. show(part, 0) .. ", got " .. show(text, 0)) end
end

-- Calls `fn`, which must raise a text (or an error object whose text) contains `part`. Returns what was raised.
function check.raises(part, fn, ...)
  local ok, e = pcall(fn, ...)
  if ok then fail("expected an error with " .. show(part, 0) .. ", got none") end
  if not tostring(e):find(part, 1, true) then
    fail("expected an error with " .. show(part, 0) .. ", got " .. show(tostring(e), 0))
  end
  return e
end

-- As raises, for a function written on one line: the text must begin with that line and be one line itself.
function check.misuse(part, fn)
  local ok, e = pcall(fn)
  if ok then fail("expected an error with " .. show(part, 0) .. ", got none") end
  local info = debug.getinfo(fn, "S")
  local place = info.short_src .. ":" .. info.linedefined .. ": "
  local text = tostring(e)
  if text:sub(1, #place) ~= place or not text:find(part, 1, true) or text:find("\n", 1, true) then
    fail("expected one line, " .. show(place .. "..." .. part, 0) .. ", got " .. show(text, 0))
  end
end

-- An error object of this kind.
function check.kind(e, kind)
  if not peri.is_error(e, kind) then fail("expected an error of kind " .. kind .. ", got " .. show(tostring(e), 0)) end
end

-- A recorder: call it to note a word, `taken()` gives what was noted, as one text, and starts anew.
function check.trace()
  local words = {}
  local function note(word) words[#words + 1] = tostring(word) end
  local function taken()
    local text = table.concat(words, " ")
    for i = #words, 1, -1 do words[i] = nil end
    return text
  end
  return note, taken
end

-- A closable that calls `fn` when it is closed.
function check.closer(fn) return setmetatable({}, { __close = fn }) end

local function leftovers()
  local me, left = peri.self().id, {}
  for _, task in ipairs(peri.tasks()) do
    if task.id ~= me then left[#left + 1] = ("task %d (%s) %s"):format(task.id, task.name or "?", task.state) end
  end
  return table.concat(left, ", ")
end

local cases = {}
cases.__index = cases

function cases:__call(name, body, ...)
  self.count = self.count + 1
  local ok, e = peri.spawn({ name = name }, body, ...):join()
  local left = leftovers()
  if ok and left == "" then return end
  self.failed = self.failed + 1
  local why = ok and "left behind: " .. left or tostring(e) .. "\n" .. tostring(e.traceback)
  for _, inner in ipairs(not ok and e.errors or {}) do why = why .. "\n" .. tostring(inner) .. "\n" .. tostring(inner.traceback) end
  io.stderr:write("FAILED ", name, "\n  ", (why:gsub("\n", "\n  ")), "\n")
end

function cases:__close(e)
  if e == nil and self.failed > 0 then error(("%d of %d cases failed"):format(self.failed, self.count), 0) end
  if e == nil and self.count == 0 then error("no cases", 0) end
end

function check.cases() return setmetatable({ count = 0, failed = 0 }, cases) end

return check
