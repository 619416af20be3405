-- real clock
-- Sockets under random cancels: every connection is accepted once, every line is read once and in order.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal = check.equal

local net = require "perilune.net"

local rounds <const> = 40

-- Cancels the tasks of a list now and then until `over` says so.
local function disturb(tasks, over)
  while not over() do
    local task = tasks[math.random(#tasks)]
    if task and math.random(3) == 1 then task:cancel() end
    peri.sleep(0.0005)
  end
end

case("connections: each is accepted exactly once", function()
  for _ = 1, rounds // 4 do
    local listener <close> = net.tcp_listen(0)
    local served, count, acceptors = {}, 0, {}
    local function accept_one()
      local stream = listener:accept()
      if not stream then return end
      peri.shield(function()
        local id = stream:read("line")
        served[id] = (served[id] or 0) + 1
        count = count + 1
        stream:close()
      end)
    end
    for i = 1, 3 do
      acceptors[i] = peri.spawn({ daemon = true }, function()
        while true do
          local one = peri.spawn(accept_one)
          acceptors[i] = one
          one:join()
        end
      end)
    end
    local clients <const> = 20
    local disturber = peri.spawn(disturb, acceptors, function() return count == clients end)
    for id = 1, clients do
      local stream <close> = net.tcp_connect("127.0.0.1", listener.port)
      stream:write(id, "\n")
      stream:flush()
    end
    disturber:join()
    for id = 1, clients do equal(served[tostring(id)], 1) end
  end
end)

case("lines: each is read exactly once, in order, by whoever reads", function()
  for _ = 1, rounds // 4 do
    local listener <close> = net.tcp_listen(0)
    local lines <const> = 50
    local writer = peri.spawn(function()
      local stream <close> = listener:accept()
      for i = 1, lines do
        stream:write(i, "\n")
        if math.random(2) == 1 then peri.yield() end
      end
    end)
    local stream <close> = net.tcp_connect("127.0.0.1", listener.port)
    local got, over = {}, false
    while not over do
      local reader = peri.spawn(function()
        local line = stream:read("line")
        if line then got[#got + 1] = line else over = true end
      end)
      if math.random(2) == 1 then peri.yield() end
      if math.random(2) == 1 then reader:cancel() end
      reader:join()
    end
    writer:await()
    equal(table.concat(got, " "), table.concat((function()
      local all = {}
      for i = 1, lines do all[i] = i end
      return all
    end)(), " "))
  end
end)
