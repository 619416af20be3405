// See shipped_chunk.hpp.
#include "shipped_chunk.hpp"

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "confine.hpp"
#include "dumped.hpp"
#include "protect.hpp"

namespace perilune {

namespace {

struct compiled_module {
  std::atomic<bool> loaded{false};
  std::atomic<const std::string*> code{nullptr};  // whole and never changed once it is there
};

std::size_t index_of(const embedded_module& module) noexcept {
  return static_cast<std::size_t>(&module - embedded_modules().data());
}

// Never destroyed: a thread that was left behind may load a module while the process ends.
compiled_module& compiled(const embedded_module& module) noexcept {
  static auto& all = *new std::vector<compiled_module>(embedded_modules().size());
  return all[index_of(module)];
}

// What was compiled when this was built, for the Lua that runs now; or nothing.
std::string_view built_in(const embedded_module& module) noexcept {
  static const bool fits = !embedded_code().empty() && std::string_view(lua_ident) == embedded_code_release();
  return fits ? embedded_code()[index_of(module)] : std::string_view();
}

// Leaves the function on top for later VMs, if there is memory for that. Most processes have one VM, which needs none.
void keep(lua_State* L, compiled_module& where) noexcept {
  if (!where.loaded.exchange(true)) return;
  try {
    auto code = std::make_unique<std::string>();
    const std::string* none = nullptr;
    if (lua_dump(L, append_dumped, code.get(), 0) == 0 && where.code.compare_exchange_strong(none, code.get()))
      static_cast<void>(code.release());
  } catch (...) {  // no memory: later VMs compile it as well
  }
}

}  // namespace

void push_shipped_chunk(lua_State* L, const embedded_module& module) {
  compiled_module& known = compiled(module);
  const std::string* kept = known.code.load(std::memory_order_acquire);
  const std::string_view code = kept ? std::string_view(*kept) : built_in(module);
  lua_pushfstring(L, "=%s", module.name);
  const int loaded = !code.empty() ? luaL_loadbufferx(L, code.data(), code.size(), lua_tostring(L, -1), "b")
                                   : luaL_loadbufferx(L, module.source, module.size, lua_tostring(L, -1), "t");
  lua_remove(L, -2);
  if (loaded != LUA_OK) protect::conclude(L, vm_of(L), action::raise_top);
  if (code.empty()) keep(L, known);
  set_shipped_environment(L);
}

void push_shipped_entry(lua_State* L, registry_slot slot, const char* name, std::span<const lua_CFunction> functions) {
  vm::push_registry(L, slot);
  if (lua_isfunction(L, -1)) return;
  lua_pop(L, 1);
  push_shipped_chunk(L, *find_embedded_module(name));
  for (const lua_CFunction function : functions) lua_pushcfunction(L, function);
  protect::call(L, static_cast<int>(functions.size()), 1);
  lua_pushvalue(L, -1);
  vm::set_registry(L, slot);
}

}  // namespace perilune
