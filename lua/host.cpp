// The members of perilune::host. See <perilune/host.hpp>; what is behind it is in host_state.hpp.
#include <perilune/host.hpp>
#include <perilune/host_loop.hpp>
#include <perilune/native.hpp>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "error_object.hpp"
#include "host_state.hpp"
#include "host_values.hpp"
#include "library.hpp"
#include "object.hpp"
#include "wait_name.hpp"

namespace perilune {

using detail::anchor_ptr;
using detail::host_state;

namespace {

error misuse(std::string text) { return {error_kind::misuse, std::move(text), 0, {}}; }

script_outcome refused(error why) {
  return {script_outcome::way::failed, script_error{why.kind, std::move(why.message), {}, {}}};
}

runtime_options engine_options(const host_options& options) {
  return {.workers = options.workers,
          .time = options.clock,
          .seed = options.seed,
          .grace = options.grace,
          .on_ready = options.on_ready};
}

}  // namespace

host::host(host_options options) {
  runtime_options engine = engine_options(options);
  state_ = std::make_shared<host_state>(std::move(options), std::move(engine));
}

host::host(runtime_options engine, host_options options)
    : state_(std::make_shared<host_state>(std::move(options), std::move(engine))) {}

namespace {

void leave_behind(std::shared_ptr<host_state> state, const char* why) {
  std::fprintf(stderr, "perilune: warning: a host was destroyed %s; left behind\n", why);
  static_cast<void>(new std::shared_ptr<host_state>(std::move(state)));
}

}  // namespace

// Inside one of its own calls the tasks are cancelled here, and whoever drives holds the rest until that has returned: the call
// around, or the loop that the host is joined to.
host::~host() {
  if (!state_) return;
  if (!state_->here()) {
    leave_behind(std::move(state_), "on another thread than its own");
    return;
  }
  const bool inside = scheduler::here() == &state_->machine().tasks();
  if (inside || state_.use_count() > 1) cancel_all("the host was destroyed");
  if (!inside || state_.use_count() > 1 || post_to_loop(state_->engine(), [rest = state_] {})) return;
  leave_behind(std::move(state_), "inside a task that engine() drives");
}

std::optional<error> host::refuse_end() const {
  if (!state_->here()) return misuse("a host was ended on a thread that is not its own");
  return state_.use_count() > 1 ? std::optional(misuse("a host was ended inside a call of its own")) : std::nullopt;
}

const std::string& host::invalid() const noexcept { return state_->core().invalid(); }

namespace {

struct loading {
  std::string_view source;
  const char* name;
  anchor_ptr made;
};

reply load_body(lua_State* L, vm& v) {
  auto& load = *static_cast<loading*>(lua_touserdata(L, 1));
  if (luaL_loadbufferx(L, load.source.data(), load.source.size(), load.name, "t") != LUA_OK) return action::raise_top;
  load.made = keep_value(L, v, -1);
  return load.made ? 0 : raise_error(v, {error_kind::limit, "not enough memory", 0, {}});
}

}  // namespace

result<script> host::load(std::string_view source, std::string name) const {
  if (auto why = state_->refuse()) return *std::move(why);
  loading load{without_preamble(source), name.c_str(), {}};
  error problem;
  if (!state_->call(protect::native<load_body>, &load, problem)) return problem;
  return script(std::move(load.made));
}

result<script> host::load_file(const std::string& path) const {
  std::ifstream in(path, std::ios::binary);
  if (!in) return error::system("open " + path, errno ? errno : ENOENT);
  const std::string source(std::istreambuf_iterator<char>(in), {});
  if (in.bad()) return error::system("read " + path, EIO);
  return load(source, "@" + path);
}

script_outcome host::run(const script& what, value_list arguments) const {
  const auto keep = state_;
  if (auto why = keep->refuse_drive()) return refused(*std::move(why));
  const script_task task = spawn(what, std::move(arguments), "main");
  if (!task) return refused(*task.problem());
  keep->engine().run_until_settled(*task.held()->task());
  script_outcome end = keep->outcome_of(*task.held());
  keep->core().run_out();
  return end;
}

script_task host::spawn(const script& what, value_list arguments, std::string_view name) const {
  return state_->spawn(what, arguments, name, state_->machine().tasks().roots);
}

script_outcome host::join(const script_task& task) const {
  const auto keep = state_;
  if (!task) return refused(task.problem() ? *task.problem() : misuse("joined a task that is none"));
  if (task.held()->home() != keep->home()) return refused(misuse("joined a task of another host"));
  if (auto why = keep->refuse_drive()) return refused(*std::move(why));
  keep->engine().run_until([](void* block) { return static_cast<lua_task*>(block)->settled(); }, task.held()->task());
  return keep->outcome_of(*task.held());
}

task_group host::make_group(std::string name) const {
  if (state_->refuse()) return task_group();
  return task_group(std::make_shared<detail::group_state>(state_->home(), &state_->new_group(std::move(name))));
}

tick_report host::tick(const tick_budget& budget) const {
  const auto keep = state_;
  tick_report report;
  if (auto why = keep->refuse()) {
    report.refused = *std::move(why);
    return report;
  }
  keep->sweep();
  return keep->engine().tick(budget);
}

result<int> host::poll_fd() const {
  if (auto why = state_->refuse()) return *std::move(why);
  return state_->engine().poll_fd();
}

std::optional<duration> host::next_deadline() const {
  if (state_->refuse()) return std::nullopt;
  return state_->engine().time_to_next();
}

std::size_t host::memory_used() const noexcept { return state_->here() ? state_->machine().bytes_in_use() : 0; }
std::uint64_t host::live_tasks() const noexcept { return state_->here() ? state_->machine().tasks().live_tasks() : 0; }

collect_report host::collect_for(duration time) const {
  collect_report report;
  vm& v = state_->machine();
  if (state_->refuse_drive() || !v.opened()) return report;
  const auto begun = std::chrono::steady_clock::now();
  report.finished = v.bytes_in_use() < state_->collect_again_at;
  while (!report.finished && report.spent < time) {
    report.finished = lua_gc(v.main(), LUA_GCSTEP, 0) != 0;
    report.spent = std::chrono::steady_clock::now() - begun;
    if (report.finished) state_->collect_again_at = v.bytes_in_use() + v.bytes_in_use() / 4 + 65536;
  }
  report.bytes = v.bytes_in_use();
  return report;
}

bool host::post(std::function<void()> fn) const { return state_->engine().post(0, std::move(fn)); }

void host::cancel_all(std::string_view reason) const {
  if (state_->here()) state_->engine().cancel_all(cancel_source::shutdown, std::string(reason), "host");
}

status call_lua(const host& h, lua_CFunction fn, void* data) {
  if (auto why = h.state()->refuse()) return *std::move(why);
  error problem;
  return h.state()->call(fn, data, problem) ? status() : status(std::move(problem));
}

runtime& host::engine() const noexcept { return state_->engine(); }

namespace {

struct global_access {
  std::string_view path;
  const value* given;
  value* out;
};

reply set_body(lua_State* L, vm& v) {
  const auto& access = *static_cast<global_access*>(lua_touserdata(L, 1));
  if (!push_place(L, access.path, true)) return no_place(v, access.path);
  if (!push_value(L, v, *access.given))
    return raise_error(v, misuse("a value of another host, or an object of a class that is not defined here"));
  lua_rawset(L, -3);
  return 0;
}

reply get_body(lua_State* L, vm& v) {
  const auto& access = *static_cast<global_access*>(lua_touserdata(L, 1));
  if (!push_place(L, access.path, false)) return 0;
  lua_rawget(L, -2);
  return read_value(L, v, -1, *access.out)
             ? 0
             : raise_error(v, {error_kind::transfer, "a table is nested too deep", 0, {}});
}

}  // namespace

status host::set(std::string_view name, value v) const {
  if (auto why = state_->refuse()) return *std::move(why);
  global_access access{name, &v, nullptr};
  error problem;
  if (!state_->call(protect::native<set_body>, &access, problem)) return problem;
  return {};
}

result<value> host::get(std::string_view name) const {
  if (auto why = state_->refuse()) return *std::move(why);
  value out;
  global_access access{name, nullptr, &out};
  error problem;
  if (!state_->call(protect::native<get_body>, &access, problem)) return problem;
  return out;
}

namespace {

reply find_reload_body(lua_State* L, vm& v) {
  auto& found = *static_cast<anchor_ptr*>(lua_touserdata(L, 1));
  push_loader(L, "reload");
  found = keep_value(L, v, -1);
  return 0;
}

}  // namespace

// The module's top level runs at once: only as much of other tasks runs as is in front of it.
status host::reload(std::string_view module) const {
  const auto keep = state_;
  if (auto why = keep->refuse_drive()) return *std::move(why);
  anchor_ptr entry;
  error problem;
  if (!keep->call(protect::native<find_reload_body>, &entry, problem)) return problem;
  const script_task task = spawn(script(std::move(entry)), {value(module)}, "reload");
  if (!task) return *task.problem();
  const lua_task& block = *task.held()->task();
  while (!block.settled() && block.status != task_state::waiting) keep->engine().tick({.resumes = 1});
  if (!block.settled()) {
    task.cancel("reload");
    keep->engine().tick();
    return misuse("module '" + std::string(module) + "' waits while it is loaded");
  }
  const script_outcome end = keep->outcome_of(*task.held());
  if (end.returned()) return {};
  const std::string* said = end.error().raised.string();  // without the name of a task that nobody knows
  return error{end.error().kind, said ? *said : end.error().message, 0, {}};
}

std::string host::dump() const {
  std::string text;
  if (state_->refuse()) return text;
  const auto line = [&](auto& self, cancel_node& node, int depth) -> void {
    for (cancel_node* child = node.children.front(); child; child = node.children.after(*child)) {
      if (child->has(cancel_node::is_task)) {
        const task_header& task = child->owner();
        text.append(static_cast<std::size_t>(depth) * 2, ' ') += label_of(task) + " " + to_string(task.shown_state());
        if (task.status == task_state::waiting || task.status == task_state::closing)
          text += ", waits in " + name_of_wait(task);
        if (const std::string place = task.where(); !place.empty()) text += " at " + place;
        text += '\n';
      }
      self(self, *child, depth + (child->has(cancel_node::is_task) ? 1 : 0));
    }
  };
  line(line, state_->machine().tasks().roots, 0);
  line(line, state_->machine().tasks().detached, 0);
  return text;
}

// Tasks and groups.

bool script_task::done() const noexcept { return !held_ || !held_->use(nullptr) || held_->task()->settled(); }

script_outcome script_task::outcome() const {
  if (!held_) return perilune::refused(refused_ ? *refused_ : misuse("asked a task that is none"));
  error why;
  host_state* owner = held_->use(&why);
  if (!owner) return perilune::refused(std::move(why));
  return held_->task()->settled() ? owner->outcome_of(*held_) : script_outcome();
}

bool script_task::ask(std::string_view reason, bool kills) const {
  if (!held_ || !held_->use(nullptr) || held_->task()->settled()) return false;
  lua_task& task = *held_->task();
  (kills ? perilune::kill : perilune::cancel)(task,
                                              reason_ptr::make(cancel_source::cancel, std::string(reason), 0, "host"));
  task.home->nudge();
  return true;
}

script_task task_group::spawn(const script& what, value_list arguments) const {
  if (!state_) return script_task(misuse("spawned in a group that is none"));
  error why;
  host_state* owner = detail::use(*state_->home, &why);
  return owner ? owner->spawn(what, arguments, {}, *state_->node) : script_task(std::move(why));
}

void task_group::cancel(std::string_view reason) const {
  host_state* owner = state_ ? detail::use(*state_->home, nullptr) : nullptr;
  if (!owner) return;
  perilune::cancel(*state_->node, reason_ptr::make(cancel_source::cancel, std::string(reason), 0, state_->node->name));
  owner->machine().tasks().nudge();
}

std::size_t task_group::live() const noexcept {
  const host_state* owner = state_ ? detail::use(*state_->home, nullptr) : nullptr;
  return owner ? state_->node->child_tasks : 0;
}

}  // namespace perilune
