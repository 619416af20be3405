// Runs arbitrary text in an isolate whose code is not trusted, with little of everything: however it ends, it ends, and
// the VM, the host and its own globals are as before. libFuzzer; one host for all inputs.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <perilune/clock.hpp>

#include "support/quiet_host.hpp"

namespace {

constexpr const char* run_it = R"lua(
local peri = require "perilune"
if not vm then
  vm = peri.isolate { fuel = 50000, deadline = 10, memory = "1MiB", max_tasks = 20, output = 0 }
  before = 0
  for _ in pairs(_G) do before = before + 1 end
end
local ok, e = vm:run(...):join()
assert(ok or peri.is_error(e))
local usable, word = vm:run("return 'usable'"):join()
if not usable then
  -- What it left in its globals may leave no memory for anything; then one more is made.
  assert(word.kind == "limit", tostring(word))
  vm:close()
  vm = nil
end
local now = 0
for name in pairs(_G) do now = now + 1 end
assert(vm == nil or now == before, "there are other globals than before")
assert(#peri.tasks() == 1, "tasks were left behind")
)lua";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static perilune::virtual_clock time;
  static perilune::lua_host host(perilune::quiet_host(time));
  perilune::main_script told{.source = run_it, .name = "=fuzz", .program = "fuzz"};
  told.arguments.emplace_back(reinterpret_cast<const char*>(data), size);
  const perilune::script_end end = host.run(told);
  if (end.how == perilune::script_end::kind::returned) return 0;
  std::fprintf(stderr, "broken: %s\n", end.report.c_str());
  std::abort();
}
