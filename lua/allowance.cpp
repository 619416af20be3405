// Ending a run that wants more than it may. See allowance.hpp.
#include "allowance.hpp"

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <new>

#include "lua_task.hpp"
#include "vm.hpp"

namespace perilune {

void allowance::begin(task_header& above, instant now) noexcept {
  hang_below(above);
  if (limits_.deadline == duration::max()) return;
  set_deadline(static_cast<std::uint64_t>(saturating_add(now, limits_.deadline).count()));
}

// Says where, and ends what was not ended before.
void allowance::end(const lua_task* by) noexcept {
  char place[96] = "";
  if (by) by->write_where(place, sizeof place);
  const std::size_t used = std::strlen(exceeded_);
  if (*place) std::snprintf(exceeded_ + used, sizeof exceeded_ - used, ", at %s", place);
  reason_ptr why;
  try {
    why = reason_ptr::make(cancel_source::limit, exceeded_, 0, "limit");
  } catch (const std::bad_alloc&) {
    // It is ended without one.
  }
  kill(*this, std::move(why));
}

void allowance::use_fuel(std::uint64_t units, const lua_task& by) noexcept {
  if (fuel_ == run_limits::none || *exceeded_) return;
  if (units < fuel_) return void(fuel_ -= units);
  std::snprintf(exceeded_, sizeof exceeded_, "out of fuel: all %" PRIu64 " instructions are used", limits_.fuel);
  end(&by);
}

void allowance::use_output(std::uint64_t bytes, const lua_task& by) noexcept {
  if (output_ == run_limits::none || *exceeded_) return;
  if (bytes <= output_) return void(output_ -= bytes);
  std::snprintf(exceeded_, sizeof exceeded_, "too much output: more than %" PRIu64 " bytes", limits_.output);
  end(&by);
}

bool count_output(vm& v, std::uint64_t bytes) noexcept {
  allowance* run = v.running().run;
  if (!run) return true;
  run->use_output(bytes, v.running());
  return !*run->exceeded();
}

void allowance::use_up_memory(const lua_task& by) noexcept {
  if (*exceeded_) return;
  const std::size_t most = by.host->options().rules.limits.memory;
  std::snprintf(exceeded_, sizeof exceeded_, "out of memory: more than %zu bytes wanted", most);
  end(&by);
}

void allowance::expire() noexcept {
  if (*exceeded_) return;
  std::snprintf(exceeded_, sizeof exceeded_, "the deadline of %.6g s has passed", to_seconds(limits_.deadline));
  end(nullptr);
}

}  // namespace perilune
