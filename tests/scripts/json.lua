-- perilune.json: what it reads, what it writes, and what it says of the rest.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal, same, contains, raises, misuse = check.equal, check.same, check.contains, check.raises, check.misuse

local json = require "perilune.json"
local encode, decode, null = json.encode, json.decode, json.null

local function refused(text)
  local value, message = decode(text)
  equal(value, nil)
  return message
end

case("JSON: every kind of value, both ways", function()
  local text = '{"array":[1,2.5,"three",[],{}],"false":false,"null":null,"object":{"nested":{}},"true":true}'
  local value = decode(text)
  equal(value.array[1], 1)
  equal(value.array[3], "three")
  equal(value["false"], false)
  equal(value.null, null)
  equal(encode(value), text)
  equal(encode("text"), '"text"')
  equal(decode("  7  "), 7)
  equal(decode("true"), true)
  equal(decode("null"), null)
  equal(encode(nil), "null")
  equal(encode(null), "null")
  equal(tostring(null), "null")
end)

case("JSON: integers and floats stay what they are", function()
  local function kept(text, kind, back)
    local value = decode(text)
    equal(math.type(value), kind)
    equal(encode(value), back or text)
  end
  kept("0", "integer")
  kept("-0", "integer", "0")
  kept("-0.0", "float")
  kept("1.0", "float")
  kept("1e2", "float", "100.0")
  kept("9223372036854775807", "integer")
  kept("-9223372036854775808", "integer")
  kept("9223372036854775808", "float", "9223372036854775808.0")
  kept("0.1", "float")
  kept("1e300", "float", "1e+300")
  kept("5e-324", "float")
  for _ = 1, 1000 do
    local number = (math.random() - 0.5) * 10.0 ^ math.random(-300, 300)
    equal(decode(encode(number)), number)
  end
end)

case("JSON: strings of any content", function()
  equal(encode('q" b\\ / \b\f\n\r\t \0 \x1f \x7f é €'), [["q\" b\\ / \b\f\n\r\t \u0000 \u001f ]] .. "\x7f é €\"")
  equal(decode([["\u0041\u00e9\ud83d\ude00\/\u0000"]]), "Aé\u{1F600}/\0")
  local every = {}
  for code = 0, 0x10FFFF, 257 do
    if code < 0xD800 or code > 0xDFFF then every[#every + 1] = utf8.char(code) end
  end
  local text = table.concat(every)
  equal(decode(encode(text)), text)
end)

case("JSON: lists and objects are told apart", function()
  equal(encode({ 1, 2, 3 }), "[1,2,3]")
  equal(encode({}), "{}")
  equal(encode(json.array()), "[]")
  local list = json.array { "a" }
  equal(encode(list), '["a"]')
  list[1] = nil
  equal(encode(list), "[]")
  local read = decode('{"empty":[],"object":{},"list":[1]}')
  read.list[1] = nil
  equal(encode(read), '{"empty":[],"list":[],"object":{}}')
  equal(encode({ { null, null } }), "[[null,null]]")
  equal(encode({ ["1"] = "a" }), '{"1":"a"}')
end)

case("JSON: keys are sorted, unless told otherwise, and the last of equal ones counts", function()
  local object, parts = {}, {}
  for i = 1, 200 do object[("k%03d"):format(i)] = { b = i, a = { d = 1, c = 2 } } end
  for i = 1, 200 do parts[i] = ('"k%03d":{"a":{"c":2,"d":1},"b":%d}'):format(i, i) end
  equal(encode(object), "{" .. table.concat(parts, ",") .. "}")
  same(decode(encode(object, { sort_keys = false })), object)
  same(decode('{"a":1,"b":2,"a":3}'), { a = 3, b = 2 })
end)

case("JSON: indentation", function()
  local value = { list = { 1, {}, json.array() }, name = "x" }
  equal(encode(value, { indent = 2 }), '{\n  "list": [\n    1,\n    {},\n    []\n  ],\n  "name": "x"\n}')
  equal(encode(value, { indent = true }), encode(value, { indent = 2 }))
  equal(encode(value, { indent = "\t" }), (encode(value, { indent = 1 }):gsub("\n +", function(s) return "\n" .. ("\t"):rep(#s - 1) end)))
  equal(encode(value, { indent = 0 }), encode(value))
  same(decode(encode(value, { indent = "" })), value)
end)

case("JSON: what is malformed comes back as nil and a place", function()
  equal(refused(""), "1:1: unexpected end of input; expected '[', '{', or a literal")
  equal(refused("[1,\n 2,\n  x]"), "3:3: invalid literal")
  equal(refused('{"a" 1}'), "1:6: unexpected number literal; expected ':'")
  equal(refused("[1]]"), "1:4: unexpected ']'; expected end of input")
  equal(refused("nul"), "1:4: invalid literal; last read: 'nul'")
  contains(refused('"open'), "1:6: invalid string: missing closing quote")
  contains(refused('"\xff"'), "1:2: invalid string: ill-formed UTF-8 byte")
  contains(refused('"\xed\xa0\x80"'), "ill-formed UTF-8")
  contains(refused('"\\ud800"'), "surrogate")
  contains(refused('"a\nb"'), "control character")
  contains(refused("1e999"), "number overflow")
  equal(refused("[1]\0"), "1:4: unexpected zero byte")
  for _, text in ipairs { "01", "+1", ".5", "1.", "NaN", "'a'", "{a:1}", "[1,]", '{"a":1,}', "// c", "[", "{", "tru", "-", "\v1" } do
    contains(refused(text), "1:")
  end
  check.truthy(#refused('"' .. ("x"):rep(100000) .. "\1") < 200, "a short message")
end)

case("JSON: depth has a limit in both directions", function()
  local deep = ("["):rep(1000) .. ("]"):rep(1000)
  equal(encode(decode(deep)), deep)
  equal(refused("\n[" .. deep .. "]"), "2:1001: nested more than 1000 deep")
  equal(refused('{"a{":[' .. ("["):rep(1e6)), "1:1006: nested more than 1000 deep")
  local value = json.array()
  for _ = 1, 1000 do value = { value } end
  raises("nested more than 1000 tables deep", encode, value)
end)

case("JSON: what has no form is refused, with its path", function()
  local function path_of(value) return raises("bad argument #1", encode, value) end
  contains(path_of { a = { b = { 1, print } } }, "(value.a.b[2] is a function)")
  contains(path_of { x = 0 / 0 }, "(value.x is NaN)")
  contains(path_of { -math.huge }, "(value[1] is -inf)")
  contains(path_of { ["a b"] = "\xff" }, '(value["a b"] is a string that is no UTF-8)')
  contains(path_of { a = { ["\xff"] = 1 } }, "(value.a is a table with a key that is no UTF-8)")
  contains(path_of { a = { 1, 2, n = 2 } }, "(value.a is a table with list items and the key 'n', neither list nor object)")
  contains(path_of { a = { [3] = 1 } }, "(value.a is a table with a key that is a number")
  contains(path_of { a = { 1, nil, 3 } }, "(value.a is ")
  contains(path_of { [true] = 1 }, "(value is a table with a key that is a boolean, not a string)")
  contains(path_of(json.array { x = 1 }), "(value is a list with holes")
  contains(path_of(io.stdout), "(value is a userdata)")
  contains(path_of(coroutine.create(print)), "(value is a thread)")
  local cycle = { list = {} }
  cycle.list[1] = cycle
  contains(path_of(cycle), "(value.list[1] is a table that contains itself)")
  local shared = { 1 }
  equal(encode { shared, shared }, "[[1],[1]]")
end)

case("JSON: misuse is told at the caller's line", function()
  misuse("bad argument #1 to 'decode' (a JSON text (string) expected, got table)", function() decode({}) end)
  misuse("bad argument #1 to 'decode'", function() decode() end)
  misuse("bad argument #1 to 'encode' (a value expected, got no value)", function() encode() end)
  misuse("bad argument #2 to 'encode' (a table of options expected", function() encode({}, 2) end)
  misuse("unknown option 'sort' to 'encode' (known: indent, sort_keys)", function() encode({}, { sort = true }) end)
  misuse("did you mean 'indent'?", function() encode({}, { ident = 2 }) end)
  misuse("bad option 'indent' to 'encode'", function() encode({}, { indent = 17 }) end)
  misuse("bad option 'indent' to 'encode'", function() encode({}, { indent = "--" }) end)
  misuse("bad option 'sort_keys' to 'encode'", function() encode({}, { sort_keys = 1 }) end)
  misuse("bad argument #1 to 'array' (a table expected", function() json.array("x") end)
  misuse("a table with a metatable of its own", function() json.array(setmetatable({}, {})) end)
end)

case("JSON: encoding runs no Lua code and looks behind no metatable", function()
  local function forbidden() error("called") end
  local meta = { __index = forbidden, __len = forbidden, __pairs = forbidden, __tostring = forbidden }
  equal(encode(setmetatable({ 1, 2 }, meta)), "[1,2]")
  equal(encode(setmetatable({ a = 1 }, meta)), '{"a":1}')
end)

case("JSON: large texts", function()
  local list = {}
  for i = 1, 50000 do list[i] = { id = i, name = "item " .. i, tags = { "a", "b" }, score = i / 7 } end
  local text = encode(list)
  local back = decode(text)
  equal(#back, #list)
  same(back[50000], list[50000])
  equal(encode(back), text)
  local long = ("0123456789"):rep(1e6)
  equal(decode(encode(long)), long)
end)

case("JSON: a finalizer may use it while it is used", function()
  local ran = 0
  for i = 1, 200 do
    setmetatable({}, { __gc = function() ran = ran + 1; equal(encode(decode('[{"a":[1]}]')), '[{"a":[1]}]') end })
    local value = decode("[" .. ('{"k":[1,2,3]},'):rep(100) .. i .. "]")
    equal(value[101], i)
    equal(#encode(value), 1402 + #tostring(i))
  end
  collectgarbage()
  check.truthy(ran >= 200, "finalizers")
end)

case("JSON: it is peri.json", function() equal(peri.json, json) end)
