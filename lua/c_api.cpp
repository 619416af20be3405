// The C interface: each function is one of perilune::host in another dress. The conventions stand in <perilune/perilune.h>.
#include "c_api.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

#include "host_state.hpp"

using namespace perilune;
using namespace perilune::c_api;

struct peri_call {
  peri_values arguments;
  peri_values results;
  detail::call_frame* frame;
};
struct peri_host {
  explicit peri_host(const peri_host_options& given);
  manual_clock clock;  // outlives the host, which may go by it
  host made;
};

namespace {

// The caller's struct as far as it reaches, the rest zero.
template <class T>
T completed(const T* given) noexcept {
  T whole{};
  if (given) std::memcpy(&whole, given, std::min(given->struct_size, sizeof(T)));
  return whole;
}

// A callback's context, destroyed with it.
struct context {
  void* ctx;
  void (*destroy)(void*);
  context(void* data, void (*end)(void*)) noexcept : ctx(data), destroy(end) {}
  context(const context&) = delete;
  context& operator=(const context&) = delete;
  ~context() {
    if (destroy) destroy(ctx);
  }
};
std::shared_ptr<context> keep(void* ctx, void (*destroy)(void*)) { return std::make_shared<context>(ctx, destroy); }

host_options options_of(const peri_host_options& given, manual_clock& clock) {
  host_options options;
  auto report = keep(given.report_ctx, given.report_destroy);
  if (given.manual_clock) options.clock = &clock;
  options.limits = {.memory = given.memory, .max_tasks = given.max_tasks};
  if (given.manual_gc) options.gc = gc::manual;
  if (given.slice > 0) options.preempt = {.how = preemption::mode::slice, .slice = duration(given.slice)};
  options.seed = given.seed;
  options.deterministic = given.deterministic != 0;
  if (given.report)
    options.report = [report, tell = given.report](const std::string& said) {
      tell(report->ctx, said.data(), said.size());
    };
  return options;
}

// The arguments of a call as a list; what the callback leaves behind becomes its end.
template <class F>
void call_with(detail::call_frame& frame, F callback) {
  peri_call call{{args(frame).all()}, {}, &frame};
  callback(&call);
  for (value& each : call.results.list) detail::push_result(frame, std::move(each));
}

}  // namespace

uint32_t peri_version(void) { return PERILUNE_VERSION_NUMBER; }

peri_host::peri_host(const peri_host_options& given) : made(options_of(given, clock)) {}

peri_error* peri_host_open(const peri_host_options* options, peri_host** out) {
  return guarded([&]() -> peri_error* {
    auto opened = std::make_unique<peri_host>(completed(options));
    if (auto why = opened->made.state()->refuse()) return failure(*std::move(why));
    *out = opened.release();
    return nullptr;
  });
}

peri_error* peri_host_close(peri_host* host) {
  return guarded([&]() -> peri_error* {
    if (!host) return nullptr;
    if (auto why = host->made.refuse_end()) return failure(*std::move(why));
    delete host;
    return nullptr;
  });
}

namespace {

peri_error* take(result<script> loaded, peri_script** out) {
  if (!loaded) return failure(std::move(loaded).error());
  *out = new peri_script{*std::move(loaded)};
  return nullptr;
}

peri_error* take(script_task spawned, peri_task** out) {
  if (!spawned) return failure(*spawned.problem());
  if (out) *out = new peri_task{std::move(spawned)};
  return nullptr;
}

}  // namespace

peri_error* peri_host_load(peri_host* host, const char* source, size_t size, const char* name, size_t name_size,
                           peri_script** out) {
  return guarded([&] { return take(host->made.load(text(source, size), std::string(text(name, name_size))), out); });
}
peri_error* peri_host_load_file(peri_host* host, const char* path, size_t path_size, peri_script** out) {
  return guarded([&] { return take(host->made.load_file(std::string(text(path, path_size))), out); });
}
void peri_script_free(peri_script* script) { delete script; }

peri_error* peri_host_run(peri_host* host, const peri_script* script, const peri_values* arguments,
                          peri_values** results) {
  return guarded([&] { return end_of(host->made.run(script->made, copy_of(arguments)), results); });
}
peri_error* peri_host_spawn(peri_host* host, const peri_script* script, const peri_values* arguments, const char* name,
                            size_t name_size, peri_task** out) {
  return guarded([&] { return take(host->made.spawn(script->made, copy_of(arguments), text(name, name_size)), out); });
}
peri_error* peri_host_join(peri_host* host, const peri_task* task, peri_values** results) {
  return guarded([&] { return end_of(host->made.join(task->made), results); });
}

peri_error* peri_host_tick(peri_host* host, const peri_tick_budget* budget, peri_tick_report* report) {
  return guarded([&]() -> peri_error* {
    const peri_tick_budget given = completed(budget);
    tick_budget limit;
    if (given.time > 0) limit.time = duration(given.time);
    if (given.resumes > 0) limit.resumes = given.resumes;
    const tick_report ran = host->made.tick(limit);
    if (ran.refused) return failure(*ran.refused);
    if (!report) return nullptr;
    const peri_tick_report whole{report->struct_size, ran.resumed, ran.live, ran.idle, ran.slack.count()};
    std::memcpy(report, &whole, std::min(report->struct_size, sizeof whole));
    return nullptr;
  });
}
peri_error* peri_host_poll_fd(peri_host* host, int* out) {
  return guarded([&]() -> peri_error* {
    auto fd = host->made.poll_fd();
    if (!fd) return failure(std::move(fd).error());
    *out = *fd;
    return nullptr;
  });
}
int64_t peri_host_next_deadline(peri_host* host) {
  std::int64_t left = -1;
  tried([&] {
    if (const auto next = host->made.next_deadline()) left = next->count();
    return 1;
  });
  return left;
}
peri_error* peri_host_advance(peri_host* host, int64_t by) {
  return guarded([&]() -> peri_error* {
    detail::host_state& state = *host->made.state();
    if (auto why = state.refuse()) return failure(*std::move(why));
    if (state.engine().time().kind() != clock::mode::manual) return misuse("the host has no manual clock");
    return host->clock.advance(duration(by)) ? nullptr : misuse("time does not go back");
  });
}
int peri_host_collect_for(peri_host* host, int64_t time) {
  return tried([&] { return host->made.collect_for(duration(time)).finished ? 1 : 0; });
}
uint64_t peri_host_memory_used(peri_host* host) { return host->made.memory_used(); }

peri_error* peri_host_set(peri_host* host, const char* path, size_t size, const peri_values* list, size_t index) {
  return guarded(
      [&] { return end_of(host->made.set(text(path, size), at(list, index) ? *at(list, index) : value())); });
}
peri_error* peri_host_get(peri_host* host, const char* path, size_t size, peri_values** out) {
  return guarded([&]() -> peri_error* {
    auto got = host->made.get(text(path, size));
    if (!got) return failure(std::move(got).error());
    *out = new peri_values{{*std::move(got)}};
    return nullptr;
  });
}
peri_error* peri_host_reload(peri_host* host, const char* module, size_t size) {
  return guarded([&] { return end_of(host->made.reload(text(module, size))); });
}

void peri_task_free(peri_task* task) { delete task; }
int peri_task_done(const peri_task* task) { return task->made.done(); }
peri_error* peri_task_outcome(const peri_task* task, peri_values** results) {
  return guarded([&] { return end_of(task->made.outcome(), results); });
}
void peri_task_cancel(const peri_task* task, const char* reason, size_t size) {
  tried([&] { return task->made.cancel(text(reason, size)) ? 1 : 0; });
}
peri_error* peri_group_new(peri_host* host, const char* name, size_t size, peri_group** out) {
  return guarded([&]() -> peri_error* {
    if (auto why = host->made.state()->refuse()) return failure(*std::move(why));
    *out = new peri_group{host->made.make_group(std::string(text(name, size)))};
    return nullptr;
  });
}
peri_error* peri_group_spawn(const peri_group* group, const peri_script* script, const peri_values* arguments,
                             peri_task** out) {
  return guarded([&] { return take(group->made.spawn(script->made, copy_of(arguments)), out); });
}
void peri_group_cancel(const peri_group* group, const char* reason, size_t size) {
  tried([&] { return group->made.cancel(text(reason, size)), 1; });
}
void peri_group_free(peri_group* group) { delete group; }

peri_error* peri_host_define(peri_host* host, const char* path, size_t size, peri_function fn, void* ctx,
                             void (*destroy)(void*)) {
  return guarded([&] {
    const auto call = [fn, kept = keep(ctx, destroy)](args a) {
      call_with(a.frame(), [&](peri_call* c) { fn(kept->ctx, c); });
    };
    return end_of(host->made.define(text(path, size), call));
  });
}
peri_error* peri_host_define_async(peri_host* host, const char* path, size_t size, peri_async_function fn, void* ctx,
                                   void (*destroy)(void*)) {
  return guarded([&] {
    const auto call = [fn, kept = keep(ctx, destroy)](args a, completion done) {
      auto end = std::make_unique<peri_completion>(peri_completion{std::move(done)});
      peri_call made{{a.all()}, {}, &a.frame()};
      fn(kept->ctx, &made, end.release());
    };
    return end_of(host->made.define_async(text(path, size), call));
  });
}

const peri_values* peri_call_arguments(const peri_call* call) { return &call->arguments; }
void peri_call_return(peri_call* call, const peri_values* results) {
  tried([&] { return call->results.list = copy_of(results), 1; });
}
void peri_call_fail(peri_call* call, const char* message, size_t size) {
  tried(
      [&] { return detail::fail_call(*call->frame, {error_kind::error, std::string(text(message, size)), 0, {}}), 1; });
}
void peri_call_refuse(peri_call* call, size_t argument, const char* expected, size_t size) {
  tried([&] { return detail::refuse_argument(*call->frame, argument, std::string(text(expected, size)).c_str()), 1; });
}

int peri_completion_resolve(peri_completion* completion, const peri_values* results) {
  return tried([&] { return completion->made.resolve_all(copy_of(results)) ? 1 : 0; });
}
int peri_completion_fail(peri_completion* completion, const char* message, size_t size) {
  return tried([&] { return completion->made.fail(std::string(text(message, size))) ? 1 : 0; });
}
int peri_completion_cancelled(const peri_completion* completion) { return completion->made.cancelled(); }
void peri_completion_on_cancel(peri_completion* completion, void (*fn)(void*), void* ctx, void (*destroy)(void*)) {
  tried([&] {
    completion->made.on_cancel([fn, kept = keep(ctx, destroy)] { fn(kept->ctx); });
    return 1;
  });
}
void peri_completion_free(peri_completion* completion) { delete completion; }
