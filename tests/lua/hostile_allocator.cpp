// A VM whose memory runs out at every place where it could: a script that uses everything at once is run again and again,
// with another allocation refused each time. However it ends, it ends: with an outcome, with no task and no byte left
// behind, and the host runs the next script as if nothing had been.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <perilune/clock.hpp>

#include "support/catch.hpp"
#include "support/quiet_host.hpp"

using namespace perilune;

namespace {

constexpr std::string_view scenario = R"lua(
local peri = require "perilune"
peri.on_unobserved(function(task, e) return tostring(e) .. tostring(e.traceback) end)
peri.data.owner = "scenario"

local pipe, answers, wide = peri.channel(1), peri.channel(0), peri.unbounded { name = "wide" }
local token = peri.token()

local function closes(fn) return setmetatable({}, { __close = fn }) end

-- Values through channels of each kind, a generator that waits, a protected call around a wait.
local producer = peri.spawn({ name = "producer", labels = { stage = "first" } }, function(...)
  local _ <close> = closes(function() pipe:close() end)
  local numbers = coroutine.wrap(function(n)
    for i = 1, n do
      peri.sleep(0.01)
      coroutine.yield(i)
    end
  end)
  for i = 1, 4 do
    pipe:send({ numbers(4) })
    for k = 1, 40 do wide:try_send(k .. "") end
  end
  return pcall(function(...) peri.sleep(0.01) return ... end, ...)
end, 1, nil, "three")

local consumer = peri.spawn({ name = "consumer", local_data = { stage = 2 } }, function()
  local sum = 0
  for value in pipe:iter() do sum = sum + (value[1] or 0) end
  answers:send(sum)
  return sum, #wide:recv_many(100), peri.data.owner .. tostring(peri.data.stage)
end)

-- A select with many arms, wrapped and chosen ones among them, that loses most.
local selecting = peri.spawn(function()
  local arms = { token:wait_op():wrap(function() return "token" end), peri.choose { answers:recv_op(), peri.sleep_op(50) } }
  for i = 1, 20 do arms[#arms + 1] = peri.sleep_op(10 + i) end
  local key, a, b = peri.select(arms)
  local biased = peri.select({ wide:recv_op(), answers:send_op("x"), peri.until_op(peri.now() + 1) }, { biased = true })
  return key, a, b, biased, peri.try_select { named = wide:recv_op(), other = pipe:recv_op() }
end)

-- Failures, groups, time limits and closers that raise and wait.
local failing = peri.spawn(function()
  local _ <close> = peri.defer(function(e) peri.sleep(0.01) return tostring(e) end)
  local _ <close> = closes(function(_, e) error("closer of " .. tostring(e)) end)
  peri.sleep(0.005)
  error({ code = 7 })
end)
local ok, group = pcall(peri.scope, function(s)
  s:spawn(function() peri.sleep(0.01) error("first " .. s:spawn(peri.sleep, 5).id) end)
  s:spawn(function()
    local _ <close> = closes(function() error("suppressed") end)
    peri.sleep(100)
  end)
  peri.shield(1, peri.sleep, 0.1)
end)
local text = tostring(group) .. tostring(ok or (group.errors and #group.errors))
local any = pcall(peri.scope, { policy = "any", timeout = 3 }, function(s)
  for i = 1, 3 do s:spawn(function() peri.sleep(i) if i == 1 then error("no") end return i end) end
end)
local limited, why = pcall(peri.timeout, 0.02, function()
  local _ <close> = closes(function() peri.shield(peri.sleep, 0.01) end)
  peri.perform(peri.sleep_op(10):wrap(function() return 1 end))
end)
local tried, word = peri.try_timeout(0.01, peri.sleep, 1)

-- Cancelling, in every state.
local victims = {}
for i = 1, 6 do
  victims[i] = peri.spawn(function()
    local _ <close> = closes(function() if i == 3 then error("of victim " .. i) end end)
    if i == 1 then return answers:recv() end
    if i == 2 then return peri.with_token(token:child(), peri.sleep, 100) end
    if i == 4 then return coroutine.wrap(function() return pcall(peri.sleep, 100) end)() end
    if i == 5 then return peri.select { answers:recv_op(), token:wait_op(), producer:join_op() } end
    return peri.sleep(100)
  end)
end
peri.sleep(0.02)
for i, victim in ipairs(victims) do if i ~= 2 then victim:cancel("enough of " .. i) end end
token:cancel("the end")
for _, victim in ipairs(victims) do text = text .. tostring(select(2, victim:join())) end

local co = coroutine.create(function()
  local _ <close> = closes(function() peri.sleep(0.01) end)
  coroutine.yield(("x"):rep(10))
end)
coroutine.resume(co)
coroutine.close(co)
xpcall(error, function(e) return debug.traceback(tostring(e)) end, "handled")
peri.spawn(function() error("nobody looks at this") end)
text = text .. #peri.tasks()
for _, task in ipairs { producer, consumer, selecting, failing } do text = text .. tostring(select(2, task:join(10))) end
return #text
)lua";

// A walk over the whole VM, which takes its time.
constexpr std::string_view looking = R"lua(
local peri = require "perilune"
local ch = peri.channel(0)
local task = peri.spawn({ name = "waits" }, function() return ch:recv() end)
peri.yield()
local text = peri.dump() .. #peri.leaks() .. #peri.resources() .. #peri.waits() .. peri.stats().live
ch:send(text)
return #task:await()
)lua";

constexpr std::string_view afterwards = R"lua(
local peri = require "perilune"
local ch = peri.channel(1)
local task = peri.spawn(function() return ch:recv(), pcall(error, "x") end)
ch:send("works")
assert(task:await() == "works")
peri.sleep(1)
)lua";

constexpr std::string_view greedy = R"lua(
local peri = require "perilune"
local task = peri.spawn({ name = "greedy" }, function()
  local text = "x"
  while true do text = text .. text end
end)
local ok, e = task:join()
assert(not ok and e.kind == "limit" and e.value == "not enough memory" and e.task.name == "greedy", tostring(e))
assert(tostring(e) == ("task %d (greedy) failed: not enough memory"):format(task.id), tostring(e))
assert(not pcall(string.rep, "x", 1 << 24))
)lua";

// Refuses `span` requests for more memory, beginning with the `first`-th; keeps the balance.
struct hostile {
  std::size_t first = 0;  // counted from 1; 0: none
  std::size_t span = 0;
  std::size_t largest = SIZE_MAX;  // of one block
  std::size_t requests = 0;
  std::size_t bytes = 0;

  static void* allocate(void* data, void* block, std::size_t old_size, std::size_t new_size) {
    auto& self = *static_cast<hostile*>(data);
    if (!block) old_size = 0;  // what Lua passes then is a type
    if (new_size > old_size) {
      ++self.requests;
      if (self.first && self.requests >= self.first && self.requests - self.first < self.span) return nullptr;
      if (new_size > self.largest) return nullptr;
    }
    void* moved = nullptr;
    if (new_size == 0)
      std::free(block);
    else if (!(moved = std::realloc(block, new_size)))
      std::abort();
    self.bytes = self.bytes - old_size + new_size;
    return moved;
  }
};

script_end run(lua_host& scripts, std::string_view source) {
  return scripts.run({.source = source, .name = "=scenario"});
}

lua_host_options on(hostile& memory, virtual_clock& time) {
  lua_host_options options = quiet_host(time);
  options.allocate = hostile::allocate;
  options.allocate_data = &memory;
  return options;
}

struct story {
  std::string_view before;  // what is run with all the memory it wants
  std::string_view source;
};

// Runs a story, the requests being refused that `memory` says, counted from its start. Returns how many it made.
std::size_t run_story(hostile& memory, const story& told, std::size_t first, std::size_t span) {
  virtual_clock time;
  std::size_t made = 0;
  {
    lua_host scripts(on(memory, time));
    REQUIRE(scripts.invalid().empty());
    run(scripts, told.before);
    memory.requests = 0;
    memory.first = first;
    memory.span = span;
    const script_end end = run(scripts, told.source);
    made = memory.requests;
    memory.first = 0;
    INFO("request " << first << ", " << span << " refused: " << end.message);
    if (made < first) CHECK(end.report == "");
    CHECK(end.how != script_end::kind::cancelled);
    CHECK(scripts.engine().worker_scheduler(0).live_tasks() == 0);
    const script_end next = run(scripts, afterwards);
    CHECK(next.report == "");
    CHECK(next.how == script_end::kind::returned);
  }
  CHECK(memory.bytes == 0);
  return made;
}

// Refuses `span` requests from every one on that the story makes, every `stride`-th time.
void run_every(std::size_t span, std::size_t stride, const story& told = {"", scenario}) {
  std::size_t first = 1;
  for (;; first += stride) {
    hostile memory;
    if (run_story(memory, told, first, span) < first) break;
  }
  CHECK(first > 500);
}

}  // namespace

TEST_CASE("JOIN-25: an allocation that is refused once is made up for by the collector") { run_every(1, 1); }

TEST_CASE("JOIN-25: a script that runs out of memory at any place ends, and leaves nothing behind") { run_every(2, 1); }

TEST_CASE("JOIN-25: so does one that has no memory for a while, for its cleanup neither") {
  run_every(20, 3);
  run_every(400, 7);
}

TEST_CASE("JOIN-25: so does one that looks inside") { run_every(2, 3, {"require('perilune').dump()", looking}); }

TEST_CASE("JOIN-25: a task that wants too much fails of kind limit, and names itself") {
  hostile memory{.largest = 1 << 20};
  virtual_clock time;
  lua_host scripts(on(memory, time));
  CHECK(run(scripts, greedy).report == "");
  CHECK(run(scripts, afterwards).report == "");
}

TEST_CASE("JOIN-25: a VM that cannot be opened says so") {
  std::size_t first = 1;
  for (bool refused = true; refused; ++first) {
    hostile memory{.first = first, .span = 2};
    virtual_clock time;
    {
      lua_host scripts(on(memory, time));
      refused = memory.requests >= first;
      memory.first = 0;
      const script_end end = run(scripts, afterwards);
      if (scripts.invalid().empty()) {
        CHECK(end.how == script_end::kind::returned);
      } else {
        CHECK(end.how == script_end::kind::not_loaded);
        CHECK(end.message == "not enough memory");
      }
    }
    CHECK(memory.bytes == 0);
  }
  CHECK(first > 300);
}
