// The C interface: each function is one of perilune::host in another dress. The conventions stand in <perilune/perilune.h>.
#include <perilune/perilune.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include <perilune/host.hpp>

#include "host_state.hpp"

using namespace perilune;

struct peri_error {
  error_kind kind;
  std::string message;
  std::string report;
};
struct peri_values {
  value_list list;
};
struct peri_script {
  script made;
};
struct peri_task {
  script_task made;
};
struct peri_group {
  task_group made;
};
struct peri_completion {
  completion made;
};
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

peri_error out_of_memory{error_kind::limit, "not enough memory", {}};

peri_error* failure(error problem) { return new peri_error{problem.kind, std::move(problem.message), {}}; }
peri_error* failure(const script_error& problem) {
  return new peri_error{problem.kind, problem.message, problem.full_report};
}
peri_error* misuse(const char* text) { return failure(error{error_kind::misuse, text, 0, {}}); }

// Nothing that C++ throws goes any further.
template <class F>
peri_error* guarded(F body) noexcept {
  try {
    return body();
  } catch (...) {
    return &out_of_memory;
  }
}
template <class F>
int tried(F body) noexcept {
  try {
    return body();
  } catch (...) {
    return 0;
  }
}

peri_error* end_of(const status& end) { return end ? nullptr : failure(end.error()); }

peri_error* end_of(const script_outcome& end, peri_values** results) {
  if (!end.ended()) return misuse("the task has not ended");
  if (!end.returned()) return failure(end.error());
  if (results) *results = new peri_values{end.results()};
  return nullptr;
}

value_list copy_of(const peri_values* list) { return list ? list->list : value_list(); }
std::string_view text(const char* data, std::size_t size) noexcept {
  return data ? std::string_view(data, size) : std::string_view();
}
const char* shown(const std::string& text, std::size_t* size) noexcept {
  if (size) *size = text.size();
  return text.c_str();
}
const value* at(const peri_values* list, std::size_t index) noexcept {
  return list && index < list->list.size() ? &list->list[index] : nullptr;
}

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

const char* peri_error_kind(const peri_error* error) { return to_string(error->kind); }
const char* peri_error_message(const peri_error* error, size_t* size) { return shown(error->message, size); }
const char* peri_error_report(const peri_error* error, size_t* size) {
  return shown(error->report.empty() ? error->message : error->report, size);
}
void peri_error_free(peri_error* error) {
  if (error != &out_of_memory) delete error;
}

peri_values* peri_values_new(void) { return new (std::nothrow) peri_values; }
void peri_values_free(peri_values* list) { delete list; }
size_t peri_values_count(const peri_values* list) { return list ? list->list.size() : 0; }

namespace {

template <class... T>
int add(peri_values* list, T&&... given) noexcept {
  return tried([&] { return list->list.emplace_back(std::forward<T>(given)...), 1; });
}

}  // namespace

int peri_values_add_nil(peri_values* list) { return add(list); }
int peri_values_add_boolean(peri_values* list, int value) { return add(list, value != 0); }
int peri_values_add_integer(peri_values* list, int64_t value) { return add(list, value); }
int peri_values_add_number(peri_values* list, double value) { return add(list, value); }
int peri_values_add_string(peri_values* list, const char* data, size_t size) { return add(list, text(data, size)); }
int peri_values_add_table(peri_values* list, const peri_values* pairs) {
  return tried([&] {
    table made;
    for (std::size_t i = 0; i + 1 < pairs->list.size(); i += 2) {
      const value& key = pairs->list[i];
      if (key.integer() && *key.integer() == static_cast<std::int64_t>(made.items.size()) + 1)
        made.items.push_back(pairs->list[i + 1]);
      else
        made.fields.emplace_back(key, pairs->list[i + 1]);
    }
    list->list.emplace_back(std::move(made));
    return 1;
  });
}
int peri_values_add_from(peri_values* list, const peri_values* from, size_t index) {
  const value* found = at(from, index);
  return found ? tried([&, copy = *found] { return list->list.push_back(copy), 1; }) : 0;
}

peri_type peri_values_type(const peri_values* list, size_t index) {
  const value* found = at(list, index);
  return found ? static_cast<peri_type>(found->type()) : PERI_NIL;
}
int peri_values_get_boolean(const peri_values* list, size_t index, int* out) {
  const value* found = at(list, index);
  return found && found->boolean() ? *out = *found->boolean(), 1 : 0;
}
int peri_values_get_integer(const peri_values* list, size_t index, int64_t* out) {
  const value* found = at(list, index);
  const auto whole = found ? found->as<std::int64_t>() : std::nullopt;
  return whole ? *out = *whole, 1 : 0;
}
int peri_values_get_number(const peri_values* list, size_t index, double* out) {
  const value* found = at(list, index);
  const auto number = found ? found->as<double>() : std::nullopt;
  return number ? *out = *number, 1 : 0;
}
const char* peri_values_get_string(const peri_values* list, size_t index, size_t* size) {
  const value* found = at(list, index);
  return found && found->string() ? shown(*found->string(), size) : nullptr;
}
peri_values* peri_values_get_table(const peri_values* list, size_t index) {
  const value* found = at(list, index);
  if (!found || !found->fields()) return nullptr;
  peri_values* pairs = nullptr;
  tried([&] {
    auto made = std::make_unique<peri_values>();
    std::int64_t key = 0;
    for (const value& each : found->fields()->items) {
      made->list.emplace_back(++key);
      made->list.push_back(each);
    }
    for (const auto& [name, field] : found->fields()->fields) {
      made->list.push_back(name);
      made->list.push_back(field);
    }
    pairs = made.release();
    return 1;
  });
  return pairs;
}
peri_script* peri_values_get_function(const peri_values* list, size_t index) {
  const value* found = at(list, index);
  const auto function = found ? found->as<script>() : std::nullopt;
  return function ? new (std::nothrow) peri_script{*function} : nullptr;
}

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
