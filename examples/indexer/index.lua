-- The program of the indexer: reads every file, gives it to each plugin, and stores what they find. A plugin runs in a VM of its
-- own, with limits; one that fails three times is not asked any more.
local peri = require "perilune"
local root, plugin_names = ...

-- One transaction: whoever reads the index meanwhile, and whoever interrupts this, has the old one.
db.exec "create table if not exists entry (path text, plugin text, key text, value text)"
db.exec "begin"
local _ <close> = peri.defer(function(why) db.exec(why and "rollback" or "commit") end)
db.exec "delete from entry"

local plugins = {}
for i, name in ipairs(plugin_names) do
  plugins[i] = {
    name = name,
    source = files.read(root.plugins .. "/" .. name .. ".lua"),
    vm = peri.isolate { memory = "4MiB", fuel = 20000000, deadline = 2, profile = "untrusted" },
    failures = 0,
  }
end

local function ask(plugin, path, text)
  local ok, found = plugin.vm:run(plugin.source, path, text):join()
  if not ok then
    plugin.failures = plugin.failures + 1
    plugin.problem = found.kind .. ": " .. found.message:match("[^\n]*"):gsub('%[string ".*"%]:', plugin.name .. ".lua:")
    return
  end
  for key, value in pairs(type(found) == "table" and found or {}) do
    db.exec("insert into entry values (?, ?, ?, ?)", path, plugin.name, tostring(key), tostring(value))
  end
end

local paths, done, unread = files.list(root.files), 0, {}
peri.map(paths, function(path)
  progress(done, #paths)
  local ok, text = pcall(files.read, path)
  if not ok then unread[#unread + 1] = text end
  for _, plugin in ipairs(ok and plugins or {}) do
    if plugin.failures < 3 then ask(plugin, path, text) end
  end
  done = done + 1
  progress(done, #paths)
end, { concurrency = 4 })

for _, problem in ipairs(unread) do report(tostring(problem)) end
for _, plugin in ipairs(plugins) do
  if plugin.problem then report(("plugin %s failed %d times, last: %s"):format(plugin.name, plugin.failures, plugin.problem)) end
end
return #paths - #unread, db.exec("select count(*) from entry")[1][1]
