// Finding that no fellow can go on. See fellowship.hpp and fellow_runtime.hpp.
#include "fellowship.hpp"

#include <algorithm>
#include <utility>

#include <perilune/fellow_runtime.hpp>
#include <perilune/runtime.hpp>

#include "quiescence.hpp"

namespace perilune {

namespace detail {

fellow_place& fellowship::open(bool daemon) {
  const std::lock_guard lock(mutex_);
  places_.push_back({.daemon = daemon});
  return places_.back();
}

// Whoever was the last that could go on is none any more: one of the others looks whether all have stalled.
void fellowship::close(fellow_place& place) noexcept {
  const std::lock_guard lock(mutex_);
  places_.remove_if([&](const fellow_place& each) { return &each == &place; });
  const auto rests = std::find_if(places_.begin(), places_.end(), [](const fellow_place& each) { return each.stalled; });
  if (rests != places_.end()) rests->who->look_again();
}

bool fellowship::alone() {
  const std::lock_guard lock(mutex_);
  return places_.size() == 1;
}

void fellowship::enter(fellow_place& place, quiescence& who) noexcept {
  const std::lock_guard lock(mutex_);
  place.who = &who;
}

void fellowship::leave(fellow_place& place) noexcept {
  const std::lock_guard lock(mutex_);
  place.who = nullptr;
  place.stalled = false;
}

void fellowship::rise(fellow_place& self) noexcept {
  const std::lock_guard lock(mutex_);
  self.stalled = false;
}

// What one fellow said to another before it came to rest lies at the other's door. Whom nothing has resumed since he was told
// has nothing new to end.
bool fellowship::stall(fellow_place& self, std::uint64_t resumes) {
  const std::lock_guard lock(mutex_);
  self.stalled = true;
  self.resumes = resumes;
  for (const fellow_place& each : places_)
    if (!each.stalled || each.who->has_messages()) return false;
  bool ends = false;
  for (fellow_place& each : places_) {
    if (each.daemon || std::exchange(each.told_at, each.resumes) == each.resumes) continue;
    if (&each == &self)
      ends = true;
    else
      each.who->end_waits();
  }
  return ends;
}

}  // namespace detail

fellow_runtime::fellow_runtime(runtime& beside, bool daemon)
    : circle_(beside.quiet().fellows()), place_(circle_->open(daemon || beside.quiet().serves())) {}

fellow_runtime::~fellow_runtime() { circle_->close(place_); }

void fellow_runtime::admit(runtime& fellow) { fellow.quiet().join(circle_, place_); }

}  // namespace perilune
