// Cancel tokens: what a cancellation of one reaches, who is woken, and how long a token lives.
#include <memory>
#include <string>
#include <vector>

#include <perilune/select.hpp>
#include <perilune/token.hpp>

#include "world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

struct let_go {
  void operator()(token_state* token) const noexcept { token->release(); }
};
using token = std::unique_ptr<token_state, let_go>;

token made() { return token(new token_state); }
token child_of(const token& parent) { return token(&parent->make_child()); }

// Waiting for a token, as a C++ task does it.
class cancelled_op final : public operation {
 public:
  explicit cancelled_op(token_state& of) noexcept : of_(of) {}
  bool try_now(waiter& by) { return of_.try_commit(by); }
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override { of_.arm(by); }
  void disarm(waiter& by) noexcept override { of_.disarm(by); }
  bool give_back(waiter& by) noexcept override { return of_.give_back(by); }
  wait_description describe() const noexcept override { return of_.describe(); }
  unit take_result() const noexcept { return {}; }
  auto operator co_await() && { return detail::awaiter<cancelled_op>(std::move(*this)); }

 private:
  token_state& of_;
};

task<> note_when_cancelled(token_state& of, trace& seen, std::string name) {
  co_await cancelled_op(of);
  seen.push_back(std::move(name));
}

reason_ptr because(std::string text) { return reason_ptr::make(cancel_source::cancel, std::move(text)); }

}  // namespace

TEST_CASE("CAN-27: a child of a cancelled token is born cancelled, and waiting for it returns at once") {
  world w;
  w.run([]() -> task<> {
    const token root = made();
    root->cancel(because("enough"));
    const token child = child_of(root);
    CHECK(child->cancelled());
    CHECK(child->reason()->text == "enough");
    co_await cancelled_op(*child);
    CHECK(now() == 0s);
  });
}

TEST_CASE("CAN-05: a token is cancelled once, for the first reason; its parent is not") {
  const token root = made();
  const token child = child_of(root);
  child->cancel(because("first"));
  child->cancel(because("second"));
  CHECK(child->reason()->text == "first");
  CHECK_FALSE(root->cancelled());
  root->cancel(because("third"));
  CHECK(child->reason()->text == "first");
}

TEST_CASE("CAN-25: cancelling a token wakes all who wait for it and for those below, in order") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    const token root = made(), child = child_of(root), grandchild = child_of(child), other = made();
    auto a = spawn(note_when_cancelled(*grandchild, seen, "grandchild"));
    auto b = spawn(note_when_cancelled(*root, seen, "root"));
    auto lost = spawn(note_when_cancelled(*root, seen, "lost"));
    auto c = spawn(note_when_cancelled(*root, seen, "root again"));
    auto d = spawn(note_when_cancelled(*other, seen, "other"));
    co_await yield();
    lost.cancel();
    co_await lost.join();
    root->cancel(because("all"));
    co_await a.join();
    co_await b.join();
    co_await c.join();
    CHECK(seen == trace{"root", "root again", "grandchild"});
    other->cancel(because("too"));
    co_await d.join();
  });
}

TEST_CASE("CAN-34: a chain of a hundred thousand tokens is cancelled and released without a deep native stack") {
  const token root = made();
  std::vector<token> chain;
  chain.push_back(child_of(root));
  for (int i = 1; i < 100'000; ++i) chain.push_back(child_of(chain.back()));
  root->cancel(because("all"));
  CHECK(chain.back()->cancelled());
  token last = std::move(chain.back());
  chain.clear();
  CHECK(last->reason()->text == "all");
  last.reset();
}

TEST_CASE("SEL-07: a token that lost a select has no waiter left, and a parent lives as long as its children") {
  world w;
  w.run([]() -> task<> {
    token root = made();
    const token child = child_of(root);
    root.reset();
    const auto got = co_await select(cancelled_op(*child), sleep_op(1s));
    CHECK(got.index() == 1);
    child->cancel(because("nobody waits"));
    const auto after = co_await select(cancelled_op(*child), sleep_op(1s));
    CHECK(after.index() == 0);
  });
}

TEST_CASE("RUN-12: a token outlives the runtime in which it was waited for, and is used in the next") {
  const token kept = made();
  trace seen;
  {
    world w;
    w.rt.spawn(note_when_cancelled(*kept, seen, "first"));
    w.rt.tick();
  }
  CHECK(seen.empty());
  kept->cancel(because("later"));
  world w;
  w.run([&]() -> task<> { co_await note_when_cancelled(*kept, seen, "second"); });
  CHECK(seen == trace{"second"});
}
