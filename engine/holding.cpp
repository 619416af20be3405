// Keeping the records of what is held. See holding.hpp.
#include <perilune/holding.hpp>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <utility>

#include <perilune/outcome.hpp>
#include <perilune/scheduler.hpp>

namespace perilune {

std::string hold_site::text() const { return file ? std::string(file) + ":" + std::to_string(line) : std::string(); }

holding::holding(holding&& other) noexcept
    : of(std::exchange(other.of, nullptr)),
      by(other.by),
      taken_by(other.taken_by),
      permits(other.permits),
      site(other.site),
      since_ms(other.since_ms),
      shared(other.shared),
      told(other.told) {
  if (of) of->moved(other, *this);
}

namespace {

std::string taken_at(const holding& held) {
  const std::string place = held.site.text();
  return "task " + std::to_string(held.taken_by) + (place.empty() ? "" : " at " + place);
}

[[noreturn]] void misuse(std::string message) { throw task_error({error_kind::misuse, std::move(message), 0, {}}); }

std::string describe_long_hold(const holdable& what, const holding& held, std::uint32_t now_ms) {
  char span[48];
  std::snprintf(span, sizeof span, " has been held for %.3f s by ", (now_ms - held.since_ms) / 1000.0);
  std::string text = std::string("a ") + what.resource() + span + taken_at(held);
  const std::string stands = held.by ? held.by->where() : std::string();
  if (!stands.empty()) text += ", which is now at " + stands;
  return text + ", while " + std::to_string(what.waiting()) + (what.waiting() == 1 ? " task waits" : " tasks wait");
}

}  // namespace

void holdable::begin(holding& held, task_header& by) noexcept {
  held.of = this;
  held.taken_by = by.id;
  held.since_ms = by.home->now_ms();
  held.told = false;
  if (holdings_.empty()) {
    home_ = by.home;
    home_->holds.add(*this);
  }
  holdings_.push_back(held);
  if (held.by) ++held.by->locks;
}

void holdable::end(holding& held) noexcept {
  holdings_.erase(held);
  held.of = nullptr;
  if (held.by) --std::exchange(held.by, nullptr)->locks;
  if (holdings_.empty()) home_->holds.remove(*this);
}

const holding* holdable::sole() const noexcept {
  holding* first = holdings_.front();
  return first && first == holdings_.back() ? first : nullptr;
}

void holdable::refuse_relock(const holding* held, const task_header& by, const char* more) const {
  holding granted;
  granted.taken_by = by.id;
  misuse(std::string("this ") + resource() + " is already held by " + taken_at(held ? *held : granted) + more);
}

void hold_register::watch(const holdable& wanted, std::uint32_t now_ms) noexcept {
  if (limit_ms_ == 0) return;
  const holding* oldest = wanted.holdings().front();
  look_again((oldest && !oldest->told ? oldest->since_ms : now_ms) + limit_ms_);
}

void hold_register::look_again(std::uint32_t at_ms) noexcept {
  look_at_ms_ = watching_ ? std::min(look_at_ms_, at_ms) : at_ms;
  watching_ = true;
}

// As long as anybody waits for what is held, there is a next look.
void hold_register::look(std::uint32_t now_ms, void (*tell)(void*, const std::string&), void* argument) {
  watching_ = false;
  for (holdable* each = held_.front(); each; each = held_.after(*each)) {
    if (each->waiting() == 0) continue;
    for (holding* held = each->holdings().front(); held; held = each->holdings().after(*held)) {
      if (!held->told && held->since_ms + limit_ms_ <= now_ms) {
        held->told = true;
        tell(argument, describe_long_hold(*each, *held, now_ms));
      }
      look_again((held->told ? now_ms : held->since_ms) + limit_ms_);
    }
  }
}

// Releasing takes a lock out of the register when nobody else holds it, so the search begins anew each time.
void hold_register::release_locks_of(const task_header& task) noexcept {
  const auto find = [&]() -> holding* {
    for (holdable* each = held_.front(); each; each = held_.after(*each))
      for (holding* held = each->holdings().front(); held; held = each->holdings().after(*held))
        if (held->by == &task) return held;
    return nullptr;
  };
  while (task.locks != 0) {
    holding* held = find();
    held->of->release(*held, true);
  }
}

namespace detail {

void check_release(const holding& held, const task_header* running) {
  if (!held.of) misuse("this guard has been released already");
  if (held.by && held.by != running) {
    const std::string who = running ? label_of(*running) : "nobody";
    misuse(std::string("this ") + held.of->resource() + " is held by " + taken_at(held) + ": " + who +
           " cannot release it");
  }
}

}  // namespace detail

guard::~guard() {
  if (!held_.of) return;
  const bool unwinds = held_.by && held_.by->is(task_header::trait::unwinding);
  held_.of->release(held_, unwinds || std::uncaught_exceptions() > 0);
}

void guard::release() {
  const scheduler* here = scheduler::here();
  detail::check_release(held_, here ? here->current() : nullptr);
  held_.of->release(held_, false);
}

}  // namespace perilune
