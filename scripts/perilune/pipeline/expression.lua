-- The expressions of `if`: comparison, `and or not in`, names, strings, numbers, lists. Compiled to a function of the names.
local text = require "perilune.pipeline.text"

local expression = {}

local namespaces <const> = { "params", "matrix", "item", "env", "run", "secrets", "steps", "args" }

local words = { ["and"] = true, ["or"] = true, ["not"] = true, ["in"] = true, ["true"] = true, ["false"] = true }

local function next_token(source, at)
  at = source:match("^%s*()", at)
  if at > #source then return nil end
  local quote, inner, stop = source:match("^(['\"])(.-)%1()", at)
  if quote then return { "text", inner, at }, stop end
  local number
  number, stop = source:match("^(%-?%d+%.?%d*)()", at)
  if number then return { "number", tonumber(number), at }, stop end
  local name
  name, stop = source:match("^([%a_][%w_%.%-]*)()", at)
  if name then return { words[name] and name or "name", name, at }, stop end
  for _, sign in ipairs { "==", "!=", "~=", "<=", ">=", "<", ">", "(", ")", "[", "]", "," } do
    if source:sub(at, at + #sign - 1) == sign then return { sign, sign, at }, at + #sign end
  end
  text.refuse(3, "column %d: '%s' is not understood", at, source:sub(at, at))
end

local parser = {}
parser.__index = parser

function parser:peek() return self.tokens[self.at] and self.tokens[self.at][1] end

function parser:take(kind)
  local token = self.tokens[self.at]
  if not token or kind and token[1] ~= kind then
    text.refuse(3, "%s expected%s", kind or "a value", token and (", got '" .. tostring(token[2]) .. "'") or " at the end")
  end
  self.at = self.at + 1
  return token
end

-- A name that begins with none of the namespaces would never have a value.
function parser:name(name)
  local ns, known = name:match("^[^%.]+"), false
  for _, one in ipairs(namespaces) do known = known or one == ns end
  if not known then text.refuse(3, "there is no '%s'%s", name, text.suggestion(ns, namespaces)) end
  self.names[#self.names + 1] = name
  return function(scope) return text.value(scope, name) end
end

local function truth(value) return value ~= nil and value ~= false and value ~= "" and value ~= 0 end

function parser:list()
  local items = {}
  while self:peek() ~= "]" do
    items[#items + 1] = self:value()
    if self:peek() ~= "]" then self:take(",") end
  end
  self:take("]")
  return function(scope)
    local out = {}
    for i, item in ipairs(items) do out[i] = item(scope) end
    return out
  end
end

function parser:value()
  local token = self:take()
  local kind, value = token[1], token[2]
  if kind == "text" or kind == "number" then return function() return value end end
  if kind == "true" or kind == "false" then return function() return kind == "true" end end
  if kind == "name" then return self:name(value) end
  if kind == "[" then return self:list() end
  if kind ~= "(" then text.refuse(3, "a value expected, got '%s'", value) end
  local inner = self:either()
  self:take(")")
  return inner
end

local function contains(list, wanted)
  if type(list) == "string" then return list:find(tostring(wanted), 1, true) ~= nil end
  for _, item in ipairs(type(list) == "table" and list or {}) do
    if tostring(item) == tostring(wanted) then return true end
  end
  return false
end

local function ordered(a, b)
  local x, y = tonumber(a), tonumber(b)
  if x and y then return x, y end
  return tostring(a), tostring(b)
end

-- What has no value is equal to an empty text, as a variable that is not set is to a shell.
local compare = {
  ["=="] = function(a, b) return a == b or tostring(a == nil and "" or a) == tostring(b == nil and "" or b) end,
  ["<"] = function(a, b) a, b = ordered(a, b) return a < b end,
  ["<="] = function(a, b) a, b = ordered(a, b) return a <= b end,
  ["in"] = function(a, b) return contains(b, a) end,
}
compare["!="] = function(a, b) return not compare["=="](a, b) end
compare["~="] = compare["!="]
compare[">"] = function(a, b) return compare["<"](b, a) end
compare[">="] = function(a, b) return compare["<="](b, a) end

function parser:comparison()
  if self:peek() == "not" then
    self:take()
    local inner = self:comparison()
    return function(scope) return not truth(inner(scope)) end
  end
  local left = self:value()
  local negated = self:peek() == "not"
  if negated then self:take() end
  local test = compare[self:peek()]
  if negated and self:peek() ~= "in" then self:take("in") end
  if not test then return left end
  self:take()
  local right = self:value()
  return function(scope) return test(left(scope), right(scope)) ~= negated end
end

function parser:both()
  local left = self:comparison()
  while self:peek() == "and" do
    self:take()
    local first, right = left, self:comparison()
    left = function(scope) return truth(first(scope)) and truth(right(scope)) end
  end
  return left
end

function parser:either()
  local left = self:both()
  while self:peek() == "or" do
    self:take()
    local first, right = left, self:both()
    left = function(scope) return truth(first(scope)) or truth(right(scope)) end
  end
  return left
end

-- A function of a scope that says true or false, and the list of the names in it. Raises a problem where the text is no expression.
function expression.compile(source)
  local tokens, at = {}, 1
  while true do
    local token, stop = next_token(source, at)
    if not token then break end
    tokens[#tokens + 1], at = token, stop
  end
  local self = setmetatable({ tokens = tokens, at = 1, names = {} }, parser)
  local read = self:either()
  if self:peek() then text.refuse(3, "'%s' is too much", self.tokens[self.at][2]) end
  return function(scope) return truth(read(scope)) end, self.names
end

return expression
