-- A chat server: one task per client, and a hub between them. One client's bad message fails that client's task, and
-- nothing else: the failure is what join returns, and the room stays open.
local peri = require "perilune"

-- The hub is a task that owns the list of members; the others talk to it through a channel, so nobody needs a lock.
local function hub(inbox)
  local members = {}
  for event in inbox:iter() do
    if event.kind == "join" then
      members[event.name] = event.outbox
    elseif event.kind == "leave" then
      members[event.name] = nil
    end
    for name, outbox in pairs(members) do
      -- A slow reader must not stop the room: what does not fit is dropped for that reader alone.
      if name ~= event.name then outbox:try_send(event) end
    end
  end
end

local show = {
  join = function(e) return e.name .. " joined" end,
  leave = function(e) return e.name .. " left (" .. e.why .. ")" end,
  say = function(e) return e.name .. ": " .. e.text end,
}

-- Reads one client's lines. A line that is no command is an error, as in many a real server.
local function serve(name, lines, room)
  for line in lines:iter() do
    local verb, text = line:match("^(%a+)%s*(.*)$")
    if verb == "say" then
      room:send { kind = "say", name = name, text = text }
    elseif verb == "quit" then
      return "quit"
    else
      error(("cannot understand '%s'"):format(line), 0)
    end
  end
  return "hung up"
end

-- A connection: joins the room, serves the client, and tells the room how that ended.
local function connection(name, lines, room)
  room:send { kind = "join", name = name, outbox = peri.channel(16) }
  local ok, how = peri.spawn({ name = name }, serve, name, lines, room):join()
  local why = ok and how or how.message
  room:send { kind = "leave", name = name, why = why }
  return why
end

-- A room with a listener, who prints what everybody says.
local room = peri.channel(0)
local screen = peri.channel(64)
local open = peri.spawn({ name = "hub" }, hub, room)
room:send { kind = "join", name = "(screen)", outbox = screen }
local printer = peri.spawn(function()
  for event in screen:iter() do print(show[event.kind](event)) end
end)

-- Three clients type. Mallory's second line is no command.
local function client(name, typed)
  local lines = peri.channel(8)
  for _, line in ipairs(typed) do lines:send(line) end
  lines:close()
  return peri.spawn(connection, name, lines, room)
end
client("ada", { "say hello", "quit" }):join()
client("mallory", { "say hi", "%&/ garbage", "say never said" }):join()
client("grace", { "say still open?", "say good", "quit" }):join()

room:close()
open:join()
screen:close()
printer:join()
print("the hub " .. open:status())
