-- Running code that one does not trust: a plugin gets a VM of its own, with little of everything, and no way out of it.
local peri = require "perilune"

local plugins = {
  polite = [[
    local peri, text = require "perilune", ...
    peri.sleep(0.01)
    return (text:gsub("%a+", string.upper)), #text
  ]],
  endless = [[ while true do pcall(function() while true do end end) end ]],
  hungry = [[ local t = {} while true do t[#t + 1] = ("x"):rep(100000) .. #t end ]],
  curious = [[ return io.open("/etc/passwd") ]],
  slow = [[ return (("a"):rep(40)):find(("a*"):rep(20) .. "b") ]],
}

local vm <close> = peri.isolate { profile = "untrusted", memory = "4MiB", fuel = 2e6, deadline = 1 }

local names = {}
for name in pairs(plugins) do names[#names + 1] = name end
table.sort(names)

for _, name in ipairs(names) do
  -- The run is a task: it takes turns with ours, and can be joined, cancelled and waited for in a select.
  local ok, value, size = vm:run(plugins[name], "hello world"):join()
  if ok then
    print(name, value, size)
  else
    local what = value.message:gsub("%[string.*%]:%d+: ", ""):gsub(", at .*", "")
    print(name, value.kind, what)
  end
end
