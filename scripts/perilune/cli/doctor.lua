-- `perilune doctor`: looks whether everything is there that runs need, one line for each thing, with what to do where something
-- is amiss. It changes nothing.
local env = require "perilune.env"
local fs = require "perilune.fs"
local json = require "perilune.json"
local process = require "perilune.process"
local system = require "perilune.native.system"

local doctor = {}

-- A finding: state "ok", "warn" or "bad"; what was found; what to do.
local function ok(found) return { state = "ok", found = found } end
local function warn(found, advice) return { state = "warn", found = found, advice = advice } end
local function bad(found, advice) return { state = "bad", found = found, advice = advice } end

local function content(path)
  local read, text = pcall(fs.read, path)
  return read and text or nil
end

-- The program ---------------------------------------------------------------------------------------------------------

local function check_module(name, what)
  return function()
    if pcall(require, name) then return ok(name .. " is there") end
    return bad(("%s is not there, so %s"):format(name, what), "build perilune with its library installed")
  end
end

local function check_database()
  local there, db = pcall(require, "perilune.db")
  if not there then return bad("perilune.db is not there, so nothing is kept between runs", "build perilune with libsqlite3 installed") end
  local memory <close> = db.open(":memory:")
  return ok("SQLite " .. memory:query("SELECT sqlite_version() AS v")[1].v)
end

-- The machine ---------------------------------------------------------------------------------------------------------

local function limit_of(name)
  local line = (content("/proc/self/limits") or ""):match(name .. "%s+(%S+)")
  return line == "unlimited" and math.huge or tonumber(line)
end

local function check_limit(name, shown, enough, option)
  return function()
    local limit = limit_of(name)
    if not limit then return warn("the limit is not known here", "nothing, if this is no Linux") end
    local found = ("%s %s"):format(limit == math.huge and "any number of" or tostring(limit // 1 | 0), shown)
    if limit >= enough then return ok(found) end
    return warn(found .. (", few for many steps at once"), ("ulimit %s %d"):format(option, enough))
  end
end

local function check_inotify()
  local watches = tonumber(content("/proc/sys/fs/inotify/max_user_watches"))
  local instances = tonumber(content("/proc/sys/fs/inotify/max_user_instances"))
  if not watches then return warn("no inotify here", "perilune watch needs Linux") end
  local found = ("%d folders, %d watchers"):format(watches, instances or 0)
  if watches >= 8192 and (instances or 0) >= 64 then return ok(found) end
  return warn(found .. ", few for perilune watch", "sysctl fs.inotify.max_user_watches=65536 fs.inotify.max_user_instances=512")
end

local function check_shell()
  local ran, result = pcall(process.run, { argv = { "/bin/sh", "-euc", "echo fine" }, check = false })
  if ran and result.stdout == "fine\n" then return ok("/bin/sh runs") end
  return bad("/bin/sh does not run, and every `sh` step needs it", "install a POSIX shell there")
end

local function check_temporary()
  local folder = env.get("TMPDIR") or "/tmp"
  local made, path = pcall(fs.temp_dir, { folder = folder })
  if not made then return bad("cannot write in " .. folder, "set TMPDIR to a folder that can be written") end
  fs.remove(path)
  return ok(folder .. " can be written")
end

local function check_runtime_folder()
  local folder = env.get("XDG_RUNTIME_DIR")
  if folder and fs.exists(folder) then return ok(folder) end
  return warn("XDG_RUNTIME_DIR is not set, so sockets of --inspect lie in /tmp", "export XDG_RUNTIME_DIR=/run/user/$(id -u)")
end

-- The terminal --------------------------------------------------------------------------------------------------------

local function check_terminal()
  local kind = env.get("TERM") or "dumb"
  if not system.is_terminal(2) then return ok("standard error is no terminal: plain lines") end
  if kind == "dumb" then return warn("TERM is " .. kind .. ": plain lines", "export TERM=xterm-256color") end
  return ok("TERM=" .. kind .. ": a live block")
end

local function check_locale()
  local name = env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or "C"
  if name:lower():find("utf%-?8") then return ok(name) end
  return warn(name .. " is no UTF-8", "export LANG=C.UTF-8")
end

local function check_colours()
  if env.get("NO_COLOR") then return ok("none: NO_COLOR is set") end
  if env.get("CLICOLOR_FORCE") then return ok("always: CLICOLOR_FORCE is set") end
  return ok("on a terminal")
end

-- The project ---------------------------------------------------------------------------------------------------------

local function load_pipeline(values)
  local load_file = require "perilune.pipeline.load"
  local prefix = values.directory and values.directory .. "/" or ""
  if values.file then return load_file.read(values.file:match("^/") and values.file or prefix .. values.file, values.file) end
  local path = load_file.find(values.directory or ".")
  return load_file.read(path, path:match("[^/]*$"))
end

local function check_file(values)
  local read, pipeline = pcall(load_pipeline, values)
  if not read then
    local first = tostring(pipeline):match("[^\n]+")
    if first:find("perilune init", 1, true) then return warn("no pipeline here or above", "perilune init") end
    return bad(first, "perilune check")
  end
  if not pipeline then return warn("the file returns no pipeline", "end it with: return p") end
  return ok(("%s, %d %s"):format(pipeline.file, #pipeline.steps, #pipeline.steps == 1 and "step" or "steps")), pipeline
end

local function is_program(word, folder)
  if word:find("[%$]") then return true end
  if word:find("/", 1, true) then return fs.exists(word:match("^/") and word or folder .. "/" .. word) end
  for path in (env.get("PATH") or "/usr/bin:/bin"):gmatch("[^:]+") do
    if fs.exists(path .. "/" .. word) then return true end
  end
  return false
end

local function check_programs(pipeline)
  local missing, seen = {}, {}
  for _, step in ipairs(pipeline.steps) do
    local word = step.argv and step.argv[1]
    if word and not seen[word] then
      seen[word] = true
      if not is_program(word, pipeline.folder) then missing[#missing + 1] = ("%s (%s)"):format(word, step.key) end
    end
  end
  if #missing == 0 then return ok("all that steps name are there") end
  return warn("not there: " .. table.concat(missing, ", "), "install them, unless a step makes them")
end

local function check_state(pipeline)
  local state = require "perilune.pipeline.state"
  if not fs.exists(pipeline.folder .. "/.perilune/state.db") then return ok("nothing has run here yet") end
  local opened, store = pcall(state.look, pipeline.folder)
  if not opened then return bad("the database cannot be opened: " .. tostring(store), "perilune clean, or move .perilune away") end
  local _ <close> = store
  local healthy, rows = pcall(store.db.query, store.db, "PRAGMA quick_check")
  local verdict = healthy and select(2, next(rows[1] or {})) or tostring(rows)
  if verdict ~= "ok" then return bad("the database is damaged: " .. tostring(verdict), "perilune clean, or move .perilune away") end
  local runs = store:runs()
  local found = ("%d %s, database sound"):format(#runs, #runs == 1 and "run" or "runs")
  if runs[1] and runs[1].status == "interrupted" then return warn(found .. "; the last run was interrupted", "perilune resume") end
  return ok(found)
end

local function check_lock(pipeline)
  local path = pipeline.folder .. "/.perilune/lock"
  if not fs.exists(path) then return ok("free") end
  local locked, descriptor = pcall(system.lock, path)
  if not locked then return bad("cannot lock " .. path, "make .perilune writable for you") end
  if not descriptor then return warn("a run is under way here", "wait for it, or interrupt it") end
  system.unlock(descriptor)
  return ok("free")
end

-- The whole -----------------------------------------------------------------------------------------------------------

local checks = {
  { "perilune", function() return ok(system.version .. ", " .. _VERSION) end },
  { "toml", check_module("perilune.toml", "no pipeline in TOML can be read") },
  { "hashes", check_module("perilune.hash", "nothing is ever up to date") },
  { "database", check_database },
  { "shell", check_shell },
  { "open files", check_limit("Max open files", "at once", 1024, "-n") },
  { "processes", check_limit("Max processes", "at once", 512, "-u") },
  { "inotify", check_inotify },
  { "temporary", check_temporary },
  { "runtime dir", check_runtime_folder },
  { "terminal", check_terminal },
  { "locale", check_locale },
  { "colours", check_colours },
}
local project_checks = { { "programs", check_programs }, { "state", check_state }, { "lock", check_lock } }

local function examine(values)
  local findings = {}
  local function add(name, finding)
    finding.name = name
    findings[#findings + 1] = finding
  end
  for _, check in ipairs(checks) do add(check[1], check[2]()) end
  local finding, pipeline = check_file(values)
  add("pipeline", finding)
  for _, check in ipairs(pipeline and project_checks or {}) do add(check[1], check[2](pipeline)) end
  return findings
end

function doctor.main(values)
  local findings, code = examine(values), 0
  for _, finding in ipairs(findings) do
    if finding.state == "bad" then code = 1 end
    if not values.json then
      local advice = finding.advice and "; do: " .. finding.advice or ""
      print(("%-4s  %-11s  %s%s"):format(finding.state, finding.name, finding.found, advice))
    end
  end
  if values.json then print(json.encode(json.array(findings), { indent = 2 })) end
  return code
end

return doctor
