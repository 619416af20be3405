// rwlock, semaphore, notify, barrier and wait_group of C++ tasks: the cases at their edges, and a model of random programs.
#include <deque>
#include <map>
#include <random>
#include <set>
#include <vector>

#include <perilune/select.hpp>
#include <perilune/sync.hpp>

#include "world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

task<> read(rwlock& l, trace& seen, std::string name, duration span) {
  const rwlock_guard g = co_await l.read();
  seen.push_back(std::move(name));
  co_await sleep(span);
}
task<> write(rwlock& l, trace& seen, std::string name, duration span) {
  const rwlock_guard g = co_await l.write();
  seen.push_back(std::move(name));
  co_await sleep(span);
}
task<> take(semaphore& s, trace& seen, std::string name, std::size_t permits, duration span = 0s) {
  const auto p = co_await s.acquire(permits);
  seen.push_back(p ? std::move(name) : name + " refused");
  co_await sleep(span);
}
task<> wait(notify& n, trace& seen, std::string name) {
  co_await n.wait();
  seen.push_back(std::move(name));
}

}  // namespace

TEST_CASE("LCK-08: a queued writer holds back later readers, and lets them go when it is cancelled") {
  for (const bool cancelled : {false, true}) {
    world w;
    rwlock l;
    trace seen;
    w.run([&]() -> task<> {
      spawn(read(l, seen, "r1", 2s));
      auto writer = spawn(write(l, seen, "w", 2s));
      spawn(read(l, seen, "r2", 2s));
      spawn(read(l, seen, "r3", 2s));
      co_await sleep(1s);
      CHECK(seen == trace{"r1"});
      if (cancelled) writer.cancel();
      co_return;
    });
    CHECK(seen == (cancelled ? trace{"r1", "r2", "r3"} : trace{"r1", "w", "r2", "r3"}));
    CHECK(w.time.now() == (cancelled ? duration(3s) : duration(6s)));
  }
}

TEST_CASE("LCK-10: a writer that becomes a reader lets no other writer in between") {
  world w;
  rwlock l;
  trace seen;
  w.run([&]() -> task<> {
    rwlock_guard g = co_await l.write();
    spawn(read(l, seen, "r", 0s));
    spawn(write(l, seen, "w", 0s));
    co_await yield();
    g.downgrade();
    co_await sleep(1s);
    CHECK(seen == trace{"r"});
    CHECK_THROWS_AS(g.downgrade(), task_error);
  });
  CHECK(seen == trace{"r", "w"});
}

TEST_CASE("SEM-01, SEM-04: permits go to waiters in order; one that is cancelled leaves them to the next") {
  for (const bool granted : {false, true}) {
    world w;
    semaphore s(3);
    trace seen;
    w.run([&]() -> task<> {
      auto held = co_await s.acquire(2);
      auto many = spawn(take(s, seen, "many", 3));
      auto few = spawn(take(s, seen, "few", 1));
      co_await yield();
      const bool barged = s.try_acquire().has_value();
      CHECK_FALSE(barged);
      if (granted) held->release();
      many.cancel();
      co_await few.join();
      CHECK(seen == trace{"few"});
    });
    CHECK(s.available() == 3);
  }
}

TEST_CASE("SEM-07, SEM-12: permits are handed over, split, merged and forgotten") {
  world w;
  semaphore s(5), other(1);
  w.run([&]() -> task<> {
    auto p = co_await s.acquire(4);
    auto foreign = co_await other.acquire();
    CHECK_FALSE(p->split(5));
    auto part = p->split(3);
    CHECK(p->count() == 1);
    spawn([](permit mine) -> task<> {
      co_await sleep(5s);
      mine.release();
    }(std::move(*part)));
    co_await sleep(1s);
    CHECK(s.available() == 1);
    co_await sleep(5s);
    CHECK(s.available() == 4);
    auto more = co_await s.acquire(2);
    p->merge(std::move(*more));
    CHECK(p->count() == 3);
    CHECK_THROWS_AS(p->merge(std::move(*foreign)), task_error);
    p->forget();
    CHECK(s.total() == 2);
    CHECK_THROWS_AS(p->release(), task_error);
  });
  CHECK(s.available() == 2);
}

TEST_CASE("SEM-08, SEM-11: close refuses, and more than there are is misuse") {
  world w;
  semaphore s(1);
  trace seen;
  w.run([&]() -> task<> {
    auto too_many = spawn(take(s, seen, "two", 2));
    const auto& end = co_await too_many.join();
    CHECK(end.failed());
    auto held = co_await s.acquire();
    auto waiter = spawn(take(s, seen, "waiter", 1));
    co_await yield();
    s.close();
    co_await waiter.join();
    auto chosen = co_await select(s.acquire_op(), sleep_op(1s));
    CHECK(chosen.index() == 0);
    CHECK_FALSE(std::get<0>(chosen));
  });
  CHECK(seen == trace{"waiter refused"});
  CHECK(s.available() == 1);
}

TEST_CASE("NTF-01, NTF-02, NTF-04: one is remembered, all is not, and what was meant for one goes on") {
  world w;
  notify n;
  trace seen;
  w.run([&]() -> task<> {
    n.notify_all();
    n.notify_one();
    n.notify_one();
    co_await n.wait();
    auto late = co_await select(n.wait_op(), sleep_op(1s));
    CHECK(late.index() == 1);
    auto a = spawn(wait(n, seen, "a"));
    spawn(wait(n, seen, "b"));
    auto c = spawn(wait(n, seen, "c"));
    co_await yield();
    n.notify_one();
    a.cancel();
    co_await yield();
    CHECK(seen == trace{"b"});
    n.notify_all();
  });
  CHECK(seen == trace{"b", "c"});
}

TEST_CASE("BAR-01: all go on together with one leader; one that is cancelled does not count") {
  world w;
  barrier b(3);
  w.run([&]() -> task<> {
    const auto arrive = [](barrier& at) -> task<bool> { co_return co_await at.wait(); };
    for (int round = 0; round < 2; ++round) {
      auto gone = spawn(arrive(b));
      co_await yield();
      gone.cancel();
      CHECK(b.waiting() == 0);
      auto one = spawn(arrive(b));
      auto two = spawn(arrive(b));
      co_await yield();
      CHECK(b.waiting() == 2);
      const bool leads = co_await b.wait();
      CHECK(leads);
      const auto& first = co_await one.join();
      const auto& second = co_await two.join();
      CHECK_FALSE(first.value());
      CHECK_FALSE(second.value());
    }
  });
}

TEST_CASE("wait_group: waits until everything is done") {
  world w;
  wait_group g;
  w.run([&]() -> task<> {
    co_await g.wait();
    g.add(2);
    for (int i = 1; i <= 2; ++i)
      spawn([](wait_group& of, duration span) -> task<> {
        co_await sleep(span);
        of.done();
      }(g, std::chrono::seconds(i)));
    co_await g.wait();
    CHECK(now() == instant(2s));
    CHECK_THROWS_AS(g.done(), task_error);
  });
}

namespace {

// The rules of a semaphore and of an rwlock, said plainly: a queue of who wants what, served from the front. An rwlock is a
// semaphore whose writers want everything.
struct model {
  std::size_t total;
  std::size_t free;
  std::deque<std::pair<int, std::size_t>> queue;
  std::map<int, std::size_t> held;

  void serve() {
    while (!queue.empty() && queue.front().second <= free) {
      free -= queue.front().second;
      held.insert(queue.front());
      queue.pop_front();
    }
  }
  void ask(int who, std::size_t permits) {
    queue.emplace_back(who, permits);
    serve();
  }
  void leave(int who) {
    if (const auto it = held.find(who); it != held.end()) {
      free += it->second;
      held.erase(it);
    } else {
      std::erase_if(queue, [&](const auto& each) { return each.first == who; });
    }
    serve();
  }
};

constexpr std::size_t total = 4;       // permits of the semaphore
constexpr std::size_t readers = 1000;  // more than there are

struct things {
  semaphore permits{total};
  rwlock lock;
  mutex one;
};

struct actor {
  std::size_t wanted;
  task_handle<void> task;
};

using held_set = std::set<int>;

struct mark {
  mark(held_set& in, int who) : set(in), id(who) { set.insert(id); }
  ~mark() { set.erase(id); }
  mark(const mark&) = delete;
  mark& operator=(const mark&) = delete;
  held_set& set;
  int id;
};

// Takes what it wants, alone or as the arm of a select, and keeps it until it is cancelled.
task<> act(things& t, int kind, std::size_t wanted, bool selects, held_set& holding, int id) {
  if (kind == 0) {
    std::optional<permit> p;
    if (selects)
      p.emplace(*std::get<0>(co_await select(t.permits.acquire_op(wanted), sleep_op(10h))));
    else
      p.emplace(*co_await t.permits.acquire(wanted));
    const mark m(holding, id);
    co_await sleep(10h);
  } else if (kind == 1) {
    const bool writes = wanted == readers;
    std::optional<rwlock_guard> g;
    if (selects)
      g.emplace(std::get<0>(co_await select(writes ? t.lock.write_op() : t.lock.read_op(), sleep_op(10h))));
    else if (writes)
      g.emplace(co_await t.lock.write());
    else
      g.emplace(co_await t.lock.read());
    const mark m(holding, id);
    co_await sleep(10h);
  } else {
    const guard g = co_await t.one.lock();
    const mark m(holding, id);
    co_await sleep(10h);
  }
}

// Random askers and cancels, several between two looks; after each look the holders are those of the model.
task<> compare(int kind, unsigned seed) {
  things t;
  const std::size_t all = kind == 1 ? readers : total;
  model expected{all, all, {}, {}};
  held_set holding;
  std::map<int, actor> actors;
  std::mt19937 random(seed);
  for (int id = 0; id < 80; ++id) {
    std::size_t wanted = random() % total + 1;
    if (kind == 1) wanted = wanted > 2 ? readers : 1;
    if (kind == 2) wanted = total;
    actors.emplace(id, actor{wanted, spawn(act(t, kind, wanted, random() % 3 == 0, holding, id))});
    co_await yield();
    expected.ask(id, wanted);
    for (auto leaving = random() % 3; leaving > 0 && !actors.empty(); --leaving) {
      const auto victim = std::next(actors.begin(), static_cast<long>(random() % actors.size()));
      victim->second.task.cancel();
      if (expected.held.count(victim->first) && holding.count(victim->first)) co_await yield();
      expected.leave(victim->first);
      actors.erase(victim);
    }
    co_await yield();
    co_await yield();
    held_set want;
    for (const auto& each : expected.held) want.insert(each.first);
    CHECK(holding == want);
    if (kind == 0) CHECK(t.permits.available() == expected.free);
  }
  for (auto& each : actors) each.second.task.cancel();
  for (auto& each : actors) co_await each.second.task.join();
  CHECK(t.permits.available() == total);
  CHECK(t.permits.waiting() + t.lock.waiting() + t.one.waiting() == 0);
  CHECK_FALSE(t.one.locked());
}

}  // namespace

TEST_CASE("SEM-04, LCK-02, LCK-08: random askers and cancels agree with a model") {
  for (int kind = 0; kind < 3; ++kind)
    for (unsigned seed = 0; seed < 60; ++seed) {
      world w;
      w.run([&]() -> task<> { co_await compare(kind, seed); });
    }
}
