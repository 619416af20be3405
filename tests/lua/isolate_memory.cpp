// An isolate whose memory is refused at every place where it asks for some: whatever becomes of the run, the VM that made it
// has lost nothing, and no task and no byte is left behind.
#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>

#include <perilune/clock.hpp>
#include <perilune/scheduler.hpp>

#include "lua_task.hpp"
#include "support/catch.hpp"
#include "support/quiet_host.hpp"
#include "vm.hpp"

using namespace perilune;

namespace {

constexpr std::string_view scenario = R"lua(
local peri = require "perilune"
local vm <close> = peri.isolate { profile = PROFILE, memory = "8MiB", fuel = 1e7, deadline = 100 }
local task = vm:run([[
  local peri, list = require "perilune", ...
  local ch, sum = peri.channel(1), 0
  local producer = peri.spawn({ name = "producer" }, function()
    local _ <close> = peri.defer(function() ch:close() end)
    for i, v in ipairs(list) do ch:send({ v, ("x"):rep(i):gsub("x", "%0y") }) peri.sleep(0.1) end
    return pcall(error, { code = 1 })
  end)
  for v in ch:iter() do sum = sum + v[1] + #v[2] end
  local co = coroutine.wrap(function() for i = 1, 3 do peri.sleep(0.1) coroutine.yield(i) end end)
  sum = sum + co() + co()
  local ok, e = pcall(peri.scope, function(s)
    s:spawn(function() error("member") end)
    s:spawn(peri.sleep, 5)
  end)
  local slow = peri.try_timeout(0.1, peri.sleep, 5)
  return sum, tostring(e), table.concat({ tostring(slow), (load("return 'loaded'"))() }, " "), producer:await()
]], { 1, 2, 3 })
local mine = peri.spawn(function() peri.sleep(0.5) return { "mine" } end)
local ok, e = task:join()
assert(ok or peri.is_error(e), tostring(e))
if not ok then e = tostring(e) .. tostring(e.traceback) end
assert(mine:await()[1] == "mine")
-- What is refused may be in the next run as well.
local usable = vm:run("return 'usable'"):join() or vm:run("return 'usable'"):join()
assert(usable, "the VM is of no use any more")
return ok
)lua";

// Refuses two requests in a row, what Lua needs to raise, from the `first`-th on that tasks of isolates make.
struct hostile {
  std::size_t first = 0;
  std::size_t requests = 0;
  std::size_t bytes = 0;

  static bool in_isolate() {
    const scheduler* tasks = scheduler::here();
    const auto* task = tasks ? dynamic_cast<const lua_task*>(tasks->current()) : nullptr;
    return task && task->host->options().isolated;
  }
  static void* allocate(void* data, void* block, std::size_t old_size, std::size_t new_size) {
    auto& self = *static_cast<hostile*>(data);
    if (!block) old_size = 0;
    if (new_size > old_size && in_isolate()) {
      ++self.requests;
      if (self.first && self.requests >= self.first && self.requests - self.first < 2) return nullptr;
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

// Returns how many requests the isolate made.
std::size_t run_with(std::size_t first, std::string_view profile) {
  hostile memory;
  memory.first = first;
  {
    virtual_clock time;
    lua_host_options options = quiet_host(time);
    options.allocate = hostile::allocate;
    options.allocate_data = &memory;
    lua_host scripts(std::move(options));
    REQUIRE(scripts.invalid().empty());
    const std::string source = "local PROFILE = '" + std::string(profile) + "'\n" + std::string(scenario);
    const script_end end = scripts.run({.source = source, .name = "=scenario"});
    INFO("request " << first << " refused: " << end.report);
    CHECK(end.how == script_end::kind::returned);
    CHECK(scripts.engine().worker_scheduler(0).live_tasks() == 0);
  }
  CHECK(memory.bytes == 0);
  return memory.requests;
}

void run_every(std::size_t stride, std::string_view profile) {
  std::size_t first = 1;
  while (run_with(first, profile) >= first) first += stride;
  CHECK(first > 200);
}

}  // namespace

TEST_CASE("ISO-14: an isolate that runs out of memory at any place fails alone") { run_every(1, "untrusted"); }

TEST_CASE("ISO-14: so does one whose code is trusted") { run_every(3, "trusted"); }
