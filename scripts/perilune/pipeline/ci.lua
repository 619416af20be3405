-- What CI services read in the output of a program: the marks of a section that folds, and of a failure that is shown beside
-- the file.
local line = require "perilune.pipeline.line"

local ci = {}

-- Each: open(name, title), close(name), failure(step, how) -> a line, or nil where the service has no such mark.
local services = { github = {}, gitlab = {} }

local property_escapes = { ["%"] = "%25", ["\r"] = "%0D", ["\n"] = "%0A", [":"] = "%3A", [","] = "%2C" }
local function data(text) return (text:gsub("[%%\r\n]", property_escapes)) end
local function property(text) return (text:gsub("[%%\r\n:,]", property_escapes)) end

function services.github.open(_, title) return "::group::" .. data(title) end
function services.github.close() return "::endgroup::" end

function services.github.failure(step, how)
  local file, row, column = (step.place or ""):match("^(.+):(%d+):(%d+)$")
  if not file then
    file, row = (step.place or ""):match("^(.+):(%d+)$")
  end
  local where = file and ("file=%s,line=%s,"):format(property(file), row) .. (column and ("col=%s,"):format(column) or "") or ""
  return ("::error %stitle=%s::%s"):format(where, property("step " .. step.key .. " failed"), data(how))
end

local function section(name) return (name:gsub("[^%w_.%-]", "_")) end

function services.gitlab.open(name, title)
  return ("\27[0Ksection_start:%d:%s[collapsed=true]\r\27[0K%s"):format(os.time(), section(name), line.first(title))
end
function services.gitlab.close(name) return ("\27[0Ksection_end:%d:%s\r\27[0K"):format(os.time(), section(name)) end

-- The marks of "github" or "gitlab"; nil for nil.
function ci.marks(name) return services[name] end

return ci
