// sequence<T>: elements that may have to be waited for, one after the other, and what one makes of them.
//
// A sequence is pulled: nothing is read before somebody asks for the next element, and the functions given to `map` and
// `filter` run in the task that asks. Only two things start tasks, as daemons below the task that asks: `buffered`, whose
// elements are worked on at once, and waiting for an element among other operations (`next_op`, and with it `merge`,
// `debounce`, `take_until`, chunks with a limit), where one task reads one element ahead and keeps it.
//
// A sequence has one reader at a time; one that was given to another is that one's. Nothing is the end, and stays the end; what
// a source or a function throws is thrown where the next element was asked for, and is the end as well. Nothing is lost to a
// lost select, a time limit or a cancellation of who asks: what was read and not delivered stays in the sequence. The
// exception are elements whose coroutine was cancelled while it ran. One worker only.
#pragma once

#include <coroutine>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <perilune/channel.hpp>
#include <perilune/interval.hpp>
#include <perilune/notify.hpp>
#include <perilune/outcome_of.hpp>
#include <perilune/select.hpp>

namespace perilune {

// Where a sequence stands with reading ahead, which is also the operation of waiting for its next element. Nothing is taken
// before the waiter resumes, so a wait that loses or is cancelled has no effect.
class sequence_core : public operation {
 public:
  sequence_core(const sequence_core&) = delete;
  sequence_core& operator=(const sequence_core&) = delete;

  // Sees to it that an element is there sooner or later. Where no task reads ahead yet, one is spawned below `by`.
  void read_ahead(task_header& by);
  // An element, a failure or the end can be taken now.
  bool ready() const noexcept { return ended_ || ahead_; }
  bool has_reader() const noexcept { return has_reader_; }
  bool ended() const noexcept { return ended_; }
  // Told, besides who waits, when there is something to take; or nullptr.
  void listen(notify* who) noexcept { listener_ = who; }

  bool try_commit(waiter& by) override {
    read_ahead(*by.task);
    return ready();
  }
  void arm(waiter& by) override { waiters_.push_back(by); }
  void disarm(waiter& by) noexcept override { waiters_.erase(by); }
  bool give_back(waiter&) noexcept override { return true; }
  wait_description describe() const noexcept override { return {"next", "sequence", this}; }

 protected:
  sequence_core() noexcept = default;
  ~sequence_core() = default;
  // Spawns the task that reads an element each time one is wanted.
  virtual void start_reader(task_header& by) = 0;

  bool wanted() const noexcept { return wanted_; }
  auto until_wanted() { return asked_.wait(); }
  // What was wanted is there.
  void has_read() noexcept;
  // The reader is gone, cancelled perhaps: then whoever waits gets another one.
  void reader_gone() noexcept;
  void take_ahead() noexcept { ahead_ = false; }
  void end() noexcept { ended_ = true; }

 private:
  wait_queue waiters_;
  notify* listener_ = nullptr;
  notify asked_;  // the reader waits here until something is wanted
  bool has_reader_ = false;
  bool wanted_ = false;
  bool ahead_ = false;
  bool ended_ = false;
};

// One step of a pipeline: `step` yields the next element, or nothing at the end. Cancelled, it is asked again, so what it holds
// stands in its members.
template <class T>
class stage : public sequence_core, public std::enable_shared_from_this<stage<T>> {
 public:
  using element = std::optional<T>;

  virtual ~stage() = default;

  // The next element; nothing at the end.
  task<element> next() {
    if (ended()) co_return std::nullopt;
    if (has_reader() || ready()) {
      co_await detail::awaiter<ahead_operation>(std::in_place, *this);
      co_return take();
    }
    outcome<element> stepped = co_await outcome_of(step());
    if (!stepped.returned() || !stepped.value()) end();
    co_return std::move(stepped).unwrap();
  }
  // Requires ready().
  element take() {
    if (ended()) return std::nullopt;
    take_ahead();
    element got = std::exchange(held_, std::nullopt);
    if (!got) end();
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    return got;
  }
  // Nobody asks any more: a task that reads ahead ends.
  void drop() noexcept {
    if (has_reader()) reader_.cancel("the sequence was dropped");
  }

 protected:
  virtual task<element> step() = 0;

 private:
  struct ahead_operation final : delegated_operation<sequence_core> {
    using delegated_operation<sequence_core>::delegated_operation;
    unit take_result() const noexcept { return {}; }
  };
  // However the reader ends, also before it has begun, that is told.
  struct reader_guard {
    std::shared_ptr<stage> of;

    explicit reader_guard(std::shared_ptr<stage> s) noexcept : of(std::move(s)) {}
    reader_guard(reader_guard&&) noexcept = default;
    reader_guard& operator=(reader_guard&&) = delete;
    ~reader_guard() {
      if (of) of->reader_gone();
    }
  };

  // What it spawned for the stages below lives as long as it does, so it stays while it is not asked.
  static task<> read(reader_guard guard) {
    stage& self = *guard.of;
    for (bool more = true; more;) {
      outcome<element> stepped = co_await outcome_of(self.step());
      if (stepped.returned())
        self.held_ = std::move(stepped).value();
      else
        self.failure_ = stepped.exception();
      more = self.held_.has_value();
      self.has_read();
      while (more && !self.wanted()) co_await self.until_wanted();
    }
  }
  // Below the task, not below a scope or time limit around one reading; but inside a shield where the task is cancelled.
  void start_reader(task_header& by) override {
    cancel_node* const below = by.has(cancel_node::cancelled) ? by.top : &by;
    reader_ = detail::make_task(read(reader_guard(this->shared_from_this())));
    by.home->spawn(reader_.header(), {.below = below, .daemon = true});
  }

  element held_;
  std::exception_ptr failure_;
  task_handle<void> reader_;
};

namespace detail {
// Throw kind misuse.
void check_sequence(bool is_there);
void check_at_least_one(std::size_t count, const char* what);

template <class T>
struct task_value {
  using type = T;
  static constexpr bool is_task = false;
};
template <class T>
struct task_value<task<T>> {
  using type = T;
  static constexpr bool is_task = true;
};
}  // namespace detail

// How elements that are worked on come out.
struct buffer_options {
  bool ordered = true;  // the results come in the order of the elements, otherwise as they are there
};

template <class T>
class sequence {
 public:
  // What its elements are, and the chain of stages that makes them.
  using value_type = T;
  using stage_ptr = std::shared_ptr<stage<T>>;

  // Takes over a stage.
  explicit sequence(stage_ptr first) noexcept : stage_(std::move(first)) {}
  sequence(sequence&&) noexcept = default;
  sequence& operator=(sequence&& other) noexcept {
    std::swap(stage_, other.stage_);
    return *this;
  }
  // Closes all below it.
  ~sequence() {
    if (stage_) stage_->drop();
  }

  // Yields the next element; nothing at the end.
  task<std::optional<T>> next() { return here().next(); }

  // Waits for the next element; nothing at the end. For select.
  class next_operation final : public delegated_operation<stage<T>> {
   public:
    // Keeps the stage alive meanwhile.
    explicit next_operation(stage_ptr of) noexcept : delegated_operation<stage<T>>(*of), kept_(std::move(of)) {}
    std::optional<T> take_result() { return this->resource_->take(); }

   private:
    stage_ptr kept_;
  };
  // The next element, as an operation.
  next_operation next_op() { return here(), next_operation(stage_); }

  // The sequences that follow are made of this one, which is theirs then.

  // `fn(element)`, or what it yields where it is a coroutine, for each.
  template <class F>
  auto map(F fn) &&;
  // Those for which `fn(element)` is true.
  template <class F>
  sequence filter(F fn) &&;
  // At most so many.
  sequence take(std::size_t count) &&;
  // Vectors of `size` elements; what there is `limit` after the first of a vector, or at the end, comes as it is.
  sequence<std::vector<T>> chunks(std::size_t size, duration limit = duration::max()) &&;
  // At least so long between two elements; none is dropped.
  sequence throttle(duration pause) &&;
  // An element when none has come for so long after it; those that came too soon before it are dropped. The last comes at the end.
  sequence debounce(duration quiet) &&;
  // What `fn(element)`, a coroutine, yields, with at most `size` of them at work.
  template <class F>
  auto buffered(std::size_t size, F fn, buffer_options options = {}) &&;
  // Until the operation that `stop()` makes commits; it is asked for one before each element, so give an instant, not a span.
  template <class F>
  sequence take_until(F stop) &&;

  // Reads to the end. Yields all elements.
  task<std::vector<T>> collect() && { return collect_all(std::move(*this)); }

 private:
  stage<T>& here() const {
    detail::check_sequence(stage_ != nullptr);
    return *stage_;
  }
  static task<std::vector<T>> collect_all(sequence from) {
    std::vector<T> all;
    for (;;) {
      std::optional<T> each = co_await from.next();
      if (!each) co_return all;
      all.push_back(std::move(*each));
    }
  }
  template <class U>
  friend class sequence;
  template <class U>
  friend sequence<U> merge(std::vector<sequence<U>> all);

  stage_ptr stage_;
};

}  // namespace perilune

#include <perilune/sequence_stages.hpp>
