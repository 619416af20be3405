// peri.blocking: a function on a thread of the blocking pool, in a VM that has no tasks. See remote.hpp.
#include <chrono>
#include <optional>

#include <perilune/blocking.hpp>
#include <perilune/shared_semaphore.hpp>

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
  protect::need_stack(L, LUA_MINSTACK);
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
  const auto begun = std::chrono::steady_clock::now();
  if (!protect::call_outside(machine->main(), run_request, &call, &problem))
    end->problem = {error_kind::limit, std::move(problem), 0, {}};
  group.count_blocking(std::chrono::steady_clock::now() - begun);
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

// A place in the queue that a call of peri.blocking waits for; on top of what the call was given.
class place_wait final : public permit_wait {
 public:
  explicit place_wait(std::shared_ptr<permit_pot> places) : permit_wait(std::move(places), 1) {}
  wait_description describe() const noexcept override { return {"blocking", "place in the queue", pot_.get()}; }
};
struct held_place {
  static constexpr std::uint64_t tag = 0x706c6163'7be03f51ULL;
  std::optional<place_wait> wait{};
};

reply collect_place(lua_State* L, vm&) {
  object_at<held_place>(L, 1).~held_place();
  return 0;
}

// The place stands on top of what was asked for.
reply blocking_admitted(lua_State* L, vm& v) {
  lua_insert(L, 1);
  spawn_request asked;
  asked.call = "blocking";
  if (const reply refused = read_spawn_arguments(L, v, 2, asked); refused < 0) return refused;
  asked.place = &*object_at<held_place>(L, 1).wait;
  return spawn_remote(L, v, asked, call_on_pool);
}

}  // namespace

// Where the caller cannot wait, its call comes on top of what the queue is to hold.
std::unique_ptr<remote_wait> call_on_pool(vm& v, std::shared_ptr<remote_request> request, const spawn_request& asked) {
  std::shared_ptr<vm_group> group = v.options().group->shared_from_this();
  const std::shared_ptr<permit_pot>& places = group->blocking_places();
  if (asked.place)
    asked.place->take();
  else if (!places->try_take(1))
    places->take_over(1);
  auto place = std::make_shared<shared_permit>(places, 1);
  return std::make_unique<pool_wait>(
      [group = std::move(group), request = std::move(request), place = std::move(place)] {
        place->release();
        return run_on_pool(*group, *request);
      });
}

reply blocking_body(lua_State* L, vm& v) {
  spawn_request asked;
  asked.call = "blocking";
  if (const reply refused = read_spawn_arguments(L, v, 1, asked); refused < 0) return refused;
  const std::shared_ptr<permit_pot>& places = v.options().group->blocking_places();
  const permit_pot::counts now = places->look();
  if ((now.available > 0 && now.waiting == 0) || !protect::suspendable(L, v.running()))
    return spawn_remote(L, v, asked, call_on_pool);
  if (v.running().cancel_pending()) return action::raise_cancel;
  auto& held = push_object<held_place>(L, type_name::blocking_place, 0);
  return wait_for(L, v, held.wait.emplace(places), blocking_admitted);
}

void define_blocking_place(lua_State* L) {
  constexpr library_function metamethods[] = {{"__gc", protect::native<collect_place>}};
  define_type(L, type_name::blocking_place, "perilune.blocking_place", {}, metamethods);
}

}  // namespace perilune
