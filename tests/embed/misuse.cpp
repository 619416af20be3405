// What a host must survive: calls on the wrong thread or the wrong host, handles of hosts that are gone, driving inside a task, and
// memory that runs out at every place where it could. Each is an error that says so.
#include <perilune/asio.hpp>
#include <perilune/host.hpp>

#include <cstdlib>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include <asio/io_context.hpp>

#include "support/catch.hpp"

using namespace perilune;

namespace {

script loaded(const host& h, std::string_view source) {
  auto made = h.load(source, "=test");
  REQUIRE(made);
  return *made;
}

bool says(const script_task& task, const char* part) {
  return !task && task.problem()->kind == error_kind::misuse && task.problem()->message.find(part) != std::string::npos;
}
bool says(const script_outcome& end, const char* part) {
  return end.failed() && end.error().kind == error_kind::misuse && end.error().message.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("on another thread every call is refused, and nothing happens") {
  host h;
  const script sleeper = loaded(h, "require('perilune').sleep(100)");
  const script_task task = h.spawn(sleeper);
  const task_group group = h.make_group("g");
  std::thread([&] {
    CHECK(h.tick().refused->kind == error_kind::misuse);
    CHECK(says(h.run(sleeper), "not its own"));
    CHECK(says(h.spawn(sleeper), "not its own"));
    CHECK(says(group.spawn(sleeper), "not its host's"));
    CHECK_FALSE(h.load("return 1"));
    CHECK_FALSE(h.set("x", 1));
    CHECK_FALSE(h.define("f", [] {}));
    CHECK_FALSE(h.reload("m"));
    CHECK_FALSE(h.poll_fd());
    CHECK_FALSE(task.cancel());
    CHECK(task.outcome().failed());
    CHECK(h.memory_used() == 0);
    CHECK(h.live_tasks() == 0);
    CHECK(h.dump().empty());
    CHECK_FALSE(h.next_deadline());
    CHECK(h.collect_for(std::chrono::seconds(1)).bytes == 0);
    CHECK(h.refuse_end());
    h.cancel_all();
    CHECK(h.post([] {}));
    script_task copy = task;
  }).join();
  h.tick();
  CHECK(h.live_tasks() == 1);
  CHECK_FALSE(task.done());
}

TEST_CASE("what belongs to another host is refused") {
  host one, two;
  const script of_one = loaded(one, "return 1");
  CHECK(says(two.spawn(of_one), "another host"));
  CHECK(says(two.join(one.spawn(of_one)), "another host"));
  CHECK(says(two.spawn(loaded(two, "return ..."), {of_one}), "another host"));
  const auto refused = two.set("f", of_one);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("another host") != std::string::npos);
  CHECK(says(two.spawn(script()), "none"));
  CHECK(says(two.join(script_task()), "none"));
  CHECK(says(task_group().spawn(of_one), "none"));
  one.define("foreign", [&] { return value(loaded(two, "return 2")); });
  CHECK(one.run(loaded(one, "return foreign()")).failed());
  CHECK(one.run(of_one).returned());
}

TEST_CASE("handles may outlive their host, and are refused then") {
  std::optional<script> function;
  std::optional<script_task> task;
  std::optional<task_group> group;
  value kept;
  {
    host h;
    kept = h.run(loaded(h, "return { print, require('perilune').channel(1) }")).result();
    function = loaded(h, "require('perilune').sleep(100)");
    task = h.spawn(*function);
    group = h.make_group("g");
    group->spawn(*function);
    h.tick();
  }
  CHECK(task->done());
  CHECK(says(task->outcome(), "gone"));
  CHECK_FALSE(task->cancel());
  CHECK(says(group->spawn(*function), "gone"));
  CHECK(group->live() == 0);
  host other;
  CHECK(says(other.spawn(*function), "another host"));
  CHECK(kept[0].type() == value_type::function);
  CHECK(kept[1].type() == value_type::other);
}

TEST_CASE("inside a task nothing drives, the rest works") {
  host h;
  const script one = loaded(h, "return 1");
  int checks = 0;
  h.define("inside", [&] {
    checks += says(h.run(one), "inside a task");
    checks += h.tick().refused.has_value();
    checks += says(h.join(h.spawn(one)), "inside a task");
    checks += !h.reload("x");
    checks += h.collect_for(std::chrono::seconds(1)).bytes == 0;
    checks += static_cast<bool>(h.set("seen", true));
  });
  CHECK(h.run(loaded(h, "inside()")).returned());
  CHECK(checks == 6);
  CHECK(h.get("seen")->as<bool>() == true);
}

namespace {

struct trap {
  void spring() { throw std::runtime_error("boom"); }
};

[[noreturn]] void boom() { throw std::runtime_error("boom"); }

}  // namespace

TEST_CASE("a function of the host's that throws fails the call that waits for it, and nothing else") {
  host h;
  h.define("plain", boom);
  h.define("odd", [] { throw 42; });
  h.define("moved", [](value) -> value { throw error{error_kind::io, "boom", 0, {}}; });
  h.define_async("async", [](completion) { boom(); });
  h.define_async("kept", [&, open = std::optional<completion>()](completion done) mutable { open = done, boom(); });
  h.define_task("refuses", []() -> task<> { boom(); });
  h.define_task("fails", []() -> task<int> { co_return (boom(), 1); });
  h.define_class<trap>("trap").method("spring", &trap::spring);
  const auto end = h.run(loaded(h, R"(local trap = ...
    local said = {}
    for _, f in ipairs { plain, odd, moved, async, kept, refuses, fails, function() trap:spring() end } do
      local ok, e = pcall(f, 1)
      said[#said + 1] = not ok and e.kind == "error" and (tostring(e):find("boom", 1, true) and "boom" or tostring(e))
    end
    return said)"),
                         {std::make_shared<trap>()});
  REQUIRE(end.returned());
  const auto said = end.result().as<std::vector<value>>();
  REQUIRE(said);
  REQUIRE(said->size() == 8);
  for (std::size_t i = 0; i < said->size(); ++i) {
    CAPTURE(i, (*said)[i].text());
    CHECK((i == 1 || i == 2 ? (*said)[i].truthy() : (*said)[i].as<std::string>() == "boom"));
  }
}

TEST_CASE("what a host is told by may throw as well: there is nobody to tell, and all goes on") {
  int reports = 0;
  host h({.load_module = [](std::string_view) -> std::optional<module_source> { boom(); },
          .hooks = {.spawned = [](const task_info&) { boom(); },
                    .resumed = [](const task_info&) { boom(); },
                    .suspended = [](const task_info&, std::string_view) { boom(); },
                    .done = [](const task_info&) { boom(); }},
          .log = [](const log_record&) { boom(); },
          .report = [&](const std::string&) { ++reports, boom(); },
          .on_ready = [] { boom(); }});
  h.define_async("wait", [](completion done) { done.on_cancel(boom); });
  const auto end = h.run(loaded(h, R"(local peri = require "perilune"
    local found, why = pcall(require, "nowhere")
    local logged = pcall(peri.log.info, "text")
    local waits = peri.spawn(wait)
    peri.yield()
    waits:cancel()
    waits:join()
    peri.spawn(error, "nobody looks")
    return found, tostring(why), logged)"));
  REQUIRE(end.returned());
  CHECK(end.results()[0].as<bool>() == false);
  CHECK(end.results()[1].as<std::string>()->find("boom") != std::string::npos);
  CHECK(h.post(boom));
  h.tick();
  CHECK(h.run(loaded(h, "return 1")).returned());
  CHECK(reports > 0);
}

TEST_CASE("a host that is destroyed inside one of its tasks ends when the call around it returns") {
  for (const bool by_run : {false, true}) {
    auto h = std::make_unique<host>();
    bool closed = false;
    bool after = false;
    h->define("destroy", [&] { h.reset(); });
    h->define("note", [&] { closed = true; });
    h->define("never", [&] { after = true; });
    const script main = loaded(*h, R"(local peri = require "perilune"
      local _ <close> = peri.defer(function() note() end)
      destroy()
      peri.sleep(0)
      never())");
    const host& alive = *h;
    if (by_run) {
      CHECK(alive.run(main).cancelled());
    } else {
      alive.spawn(main);
      CHECK(alive.tick().resumed > 0);
    }
    CHECK(closed);
    CHECK_FALSE(after);
    CHECK_FALSE(h);
  }
}

TEST_CASE("a joined host that is destroyed inside one of its tasks ends when its loop goes on") {
  for (const bool later : {false, true}) {
    asio::io_context io;
    auto h = std::make_unique<host>(join(io.get_executor()));
    bool closed = false;
    bool after = false;
    bool collected = false;
    h->define("destroy", [&] { h.reset(); });
    h->define("note", [&] { closed = true; });
    h->define("never", [&, gone = std::shared_ptr<void>(nullptr, [&](void*) { collected = true; })] { after = true; });
    const script main = loaded(*h, R"(local peri, later = require "perilune", ...
      local _ <close> = peri.defer(function() note() end)
      if later then peri.sleep(0.001) end
      destroy()
      peri.sleep(0)
      never())");
    const script_task task = h->spawn(main, {later});
    io.run();
    CHECK_FALSE(h);
    CHECK(closed);
    CHECK_FALSE(after);
    CHECK(collected);
    CHECK(task.done());
    CHECK(says(task.outcome(), "gone"));
  }
}

namespace {

struct hostile {
  std::size_t refuse_at = 0;  // counted from 1; 0: none
  std::size_t asked = 0;
};

void* allocate(void* data, void* block, std::size_t, std::size_t size) {
  auto& memory = *static_cast<hostile*>(data);
  if (size == 0) return std::free(block), nullptr;
  if (++memory.asked >= memory.refuse_at && memory.refuse_at && memory.asked < memory.refuse_at + 2) return nullptr;
  return std::realloc(block, size);
}

struct thing {
  int get() const { return 7; }
};

// Everything a host calls, as far as it goes. How many calls succeeded.
int use_all(const host& h) {
  int good = 0;
  table t(value_list{1, "two", value_list{3}});
  t.fields.emplace_back("deep", table({{"x", 1.5}}));
  good += static_cast<bool>(h.set("a.b.c", t));
  const auto got = h.get("a.b.c");
  good += got && (*got)[1].as<std::string>() == "two";
  good += static_cast<bool>(h.define("f", [](std::string s, value v) { return std::tuple(s + "!", v); }));
  good += static_cast<bool>(h.define_async("g", [](int n, completion done) { done.resolve(n, "text"); }));
  good += static_cast<bool>(h.define_task("k", [](std::string s) -> task<std::string> { co_return s; }));
  good += static_cast<bool>(h.define_class<thing>("thing").method("get", &thing::get).end());
  const auto made =
      h.load("local o, t = ... local s, u = f('x', t) return s, u[1], g(3), k('y'), o and o:get()", "=all");
  good += static_cast<bool>(made);
  if (made) good += h.run(*made, {std::make_shared<thing>(), t}).returned();
  const task_group group = h.make_group("group");
  if (made) good += static_cast<bool>(group.spawn(*made, {nullptr, t}));
  good += !h.tick().refused;
  return good;
}

}  // namespace

TEST_CASE("memory that runs out at each place in turn while the host calls in: errors, and the host lives on") {
  std::size_t needed = 0;
  for (std::size_t nth = 0; nth == 0 || nth <= needed; nth += nth < 60 ? 1 : 7) {
    hostile memory;
    host h({.allocate = allocate, .allocate_data = &memory, .report = [](const std::string&) {}});
    REQUIRE(h.invalid().empty());
    const std::size_t before = memory.asked;
    if (nth) memory.refuse_at = before + nth;
    const int good = use_all(h);
    if (nth == 0) {
      CHECK(good == 10);
      needed = memory.asked - before;
    }
    memory.refuse_at = 0;
    CAPTURE(nth);
    CHECK(use_all(h) == 10);
  }
}

TEST_CASE("a host whose VM has no memory says so at each call") {
  host h({.allocate = [](void*, void* block, std::size_t, std::size_t) -> void* { return std::free(block), nullptr; }});
  CHECK(h.invalid() == "not enough memory");
  CHECK_FALSE(h.load("return 1"));
  CHECK(h.tick().refused->message == "not enough memory");
  CHECK(h.memory_used() == 0);
  CHECK_FALSE(h.define("f", [] {}));
}
