-- real clock
-- Hashes of folders in which folders come and go meanwhile.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal = check.equal

local function come_and_go(path, stop)
  local fs = require("perilune").fs
  repeat
    fs.mkdir(path .. "/a/b/c/d", { recursive = true })
    fs.mkdir(path .. "/e/f/g", { recursive = true })
    fs.remove(path .. "/a", { recursive = true })
    fs.remove(path .. "/e", { recursive = true })
  until stop:is_cancelled()
end

case("a folder that goes while it is walked is no error", function()
  local folder <const>, stop <const> = peri.fs.temp_dir(), peri.token()
  local other = peri.thread({}, come_and_go, folder, stop)
  for _ = 1, 4000 do equal(#peri.hash.contents({ folder })[1], 32) end
  stop:cancel()
  other:await()
  peri.fs.remove(folder, { recursive = true })
end)
