// What a program holds of a child, and run. See process.hpp.
#include <perilune/process.hpp>

#include <system_error>

#include <perilune/select.hpp>

#include "byte_sink.hpp"
#include "byte_source.hpp"
#include "child.hpp"
#include "pipe.hpp"
#include "spawn.hpp"

namespace perilune {

bool process_wait_operation::try_now(waiter&) noexcept { return child_->exited(); }
void process_wait_operation::arm(waiter& by) { child_->waiting.arm(by); }
void process_wait_operation::disarm(waiter& by) noexcept { child_->waiting.disarm(by); }
result<exit_status> process_wait_operation::take_result() { return child_->status(); }

bool process_end_operation::try_now(waiter&) noexcept { return child_->ended() || !child_->group_alive(); }

void process_end_operation::arm(waiter& by) {
  child_->ending_waits.arm(by);
  child_->begin_end(grace_);
}

void process_end_operation::disarm(waiter& by) noexcept { child_->ending_waits.disarm(by); }
result<exit_status> process_end_operation::take_result() { return child_->status(); }

result<process> process::spawn(const process_options& options) {
  detail::worker& home = detail::worker::here();
  auto made = detail::launch(options);
  if (!made.ok()) return std::move(made).error();
  const std::string name = detail::short_name(options);
  process p;
  p.grace_ = options.grace;
  p.kill_on_close_ = options.kill_on_close;
  p.child_ = std::make_shared<detail::child>(home, made->pid, std::move(made->pidfd), name, options.own_group,
                                             std::move(made->start));
  p.child_->watch();
  if (made->input) p.input_ = writer(detail::make_pipe_sink(home, std::move(made->input), "stdin of " + name));
  if (made->output) p.output_ = reader(detail::make_pipe_source(home, std::move(made->output), "stdout of " + name));
  if (made->errors) p.errors_ = reader(detail::make_pipe_source(home, std::move(made->errors), "stderr of " + name));
  if (options.in.what() == stdio::kind::text) {
    p.feed_ = std::exchange(p.input_, writer());
    p.feed_.sink()->accept(options.in.value());
    p.feed_.close();
  }
  return p;
}

process& process::operator=(process&& other) noexcept {
  if (this == &other) return *this;
  close();
  child_ = std::move(other.child_);
  input_ = std::move(other.input_);
  feed_ = std::move(other.feed_);
  output_ = std::move(other.output_);
  errors_ = std::move(other.errors_);
  grace_ = other.grace_;
  kill_on_close_ = other.kill_on_close_;
  return *this;
}

pid_t process::id() const noexcept { return child_->pid(); }
bool process::running() const noexcept { return !child_->exited(); }
bool process::group_alive() const noexcept { return child_->group_alive(); }
std::size_t process::group_size() const noexcept { return child_->group_size(); }

result<unit> process::signal(int number, bool group) const {
  if (const int code = child_->signal(number, group))
    return error::system("signal " + std::to_string(number) + " to " + child_->name(), code);
  return unit{};
}

void process::give_up(bool detached) noexcept {
  auto child = std::move(child_);
  if (!child) return;
  child->lift_limit();
  for (const writer& end : {std::exchange(input_, writer()), std::exchange(feed_, writer())})
    if (end) end.sink()->abandon();
  if (kill_on_close_ && !child->exited()) child->end_in_background(grace_, detached);
}

void process::close() noexcept { give_up(false); }
void process::close_detached() noexcept { give_up(true); }

namespace {

// Waits until the child has been ended by force; never when it is not.
class ended_operation final : public operation {
 public:
  explicit ended_operation(std::shared_ptr<detail::child> of) noexcept : child_(std::move(of)) {}

  bool try_now(waiter&) noexcept { return child_->ended(); }
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override { child_->ending_waits.arm(by); }
  void disarm(waiter& by) noexcept override { child_->ending_waits.disarm(by); }
  bool give_back(waiter&) noexcept override { return true; }
  wait_description describe() const noexcept override { return {"read", "process", child_.get()}; }
  unit take_result() const noexcept { return {}; }

 private:
  std::shared_ptr<detail::child> child_;
};

// What a captured stream holds when it has ended, or when the child was ended and something still keeps it open.
task<result<std::string>> collect(reader from, std::shared_ptr<detail::child> of, std::size_t limit) {
  if (!from) co_return std::string();
  auto got = co_await select_biased(from.read_all(limit), ended_operation(std::move(of)));
  if (auto* all = std::get_if<0>(&got)) {
    if (all->ok()) co_return *std::move(all->value());
    if (all->error().kind != error_kind::limit) co_return std::move(all->error());
  }
  auto rest = from.source()->take({.mode = read_mode::some, .bytes = limit});
  from.close();
  if (!rest.ok()) co_return std::move(rest).error();
  co_return std::move(rest.value()).value_or(std::string());
}

}  // namespace

task<result<run_result>> run(run_options options) {
  options.confirm_start = false;
  auto started = process::spawn(options);
  if (!started.ok()) co_return std::move(started).error();
  const process child = *std::move(started);
  if (child.input()) child.input().close();
  const std::shared_ptr<detail::child>& state = child.child();
  run_result end;
  bool overflowed = false;
  if (options.timeout) state->limit(*options.timeout, options.grace);
  for (const reader& stream : {child.output(), child.errors()})
    if (stream)
      stream.source()->prefetch(options.output_limit,
                                [weak = std::weak_ptr(state), &overflowed, grace = options.grace] {
                                  overflowed = true;
                                  if (auto c = weak.lock()) c->begin_end(grace);
                                });
  auto status = co_await child.wait();
  auto out = co_await collect(child.output(), state, options.output_limit);
  auto err = co_await collect(child.errors(), state, options.output_limit);
  if (overflowed || state->timed_out()) {
    auto gone = co_await child.kill(options.grace);
    static_cast<void>(gone);
  }
  if (!status.ok()) co_return std::move(status).error();
  if (!out.ok()) co_return std::move(out).error();
  if (!err.ok()) co_return std::move(err).error();
  end.status = *status;
  end.out = *std::move(out);
  end.err = *std::move(err);
  end.stopped_by = overflowed ? run_stop::output_limit : state->timed_out() ? run_stop::timeout : run_stop::none;
  co_return end;
}

}  // namespace perilune
