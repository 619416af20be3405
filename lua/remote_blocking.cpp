// peri.blocking: a function on a thread of the blocking pool, in a VM that has no tasks. See remote.hpp.
#include <perilune/blocking.hpp>

#include "error_object.hpp"
#include "object.hpp"
#include "remote.hpp"
#include "vm_group.hpp"

namespace perilune {

namespace {

struct pool_call {
  const remote_request* request;
  remote_end* end;
};

// Runs the request that the light userdata at 1 names, and packs how it ended.
int run_request(lua_State* L) {
  const auto& call = *static_cast<pool_call*>(lua_touserdata(L, 1));
  push_remote_entry(L);
  lua_pushlightuserdata(L, const_cast<remote_request*>(call.request));
  const bool returned = protect::call_traced(L, 1, LUA_MULTRET);
  const int count = lua_gettop(L) - 1;
  luaL_checkstack(L, LUA_MINSTACK, nullptr);
  push_loaded_modules(L);
  pack_end(L, 2, count, returned, *call.end);
  return 0;
}

std::unique_ptr<remote_end> run_on_pool(vm_group& group, const remote_request& request) {
  auto end = std::make_unique<remote_end>();
  std::unique_ptr<vm> machine = group.borrow();
  if (!machine) return end->problem = {error_kind::limit, "not enough memory for one more VM", 0, {}}, std::move(end);
  pool_call call{&request, end.get()};
  std::string problem;
  if (!protect::call_outside(machine->main(), run_request, &call, &problem))
    end->problem = {error_kind::limit, std::move(problem), 0, {}};
  machine->flush_unobserved();
  group.give_back(std::move(machine));
  return end;
}

class pool_wait final : public remote_wait {
 public:
  template <class F>
  explicit pool_wait(F run) : call_({.name = "peri.blocking"}, std::move(run)) {}
  bool start() override { return call_.start(), true; }
  operation& op() noexcept override { return call_; }
  remote_end take() override { return std::move(*call_.take_result()); }

 private:
  blocking_operation<std::unique_ptr<remote_end>> call_;
};

}  // namespace

std::unique_ptr<remote_wait> call_on_pool(vm& v, std::shared_ptr<remote_request> request, const spawn_request&) {
  return std::make_unique<pool_wait>([group = v.options().group->shared_from_this(), request = std::move(request)] {
    return run_on_pool(*group, *request);
  });
}

}  // namespace perilune
