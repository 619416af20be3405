// The stages of sequences: where they begin, what is made of each element, how several become one. See sequence.hpp, which
// includes this.
#pragma once

#include <algorithm>
#include <iterator>
#include <ranges>

#include <perilune/sequence.hpp>
#include <perilune/timer.hpp>

namespace perilune {

namespace detail {

// What `fetch()`, a coroutine, yields each time.
template <class T, class F>
class source_stage final : public stage<T> {
 public:
  explicit source_stage(F fetch) : fetch_(std::move(fetch)) {}

 private:
  task<std::optional<T>> step() override { return fetch_(); }
  F fetch_;
};

// One element for each.
template <class U, class T, class F>
class map_stage final : public stage<U> {
 public:
  map_stage(sequence<T> below, F fn) : below_(std::move(below)), fn_(std::move(fn)) {}

 private:
  task<std::optional<U>> step() override {
    std::optional<T> each = co_await below_.next();
    if (!each) co_return std::nullopt;
    if constexpr (task_value<std::invoke_result_t<F&, T>>::is_task) {
      U made = co_await fn_(std::move(*each));
      co_return std::move(made);
    } else {
      co_return fn_(std::move(*each));
    }
  }
  sequence<T> below_;
  F fn_;
};

template <class T, class F>
class filter_stage final : public stage<T> {
 public:
  filter_stage(sequence<T> below, F fn) : below_(std::move(below)), fn_(std::move(fn)) {}

 private:
  task<std::optional<T>> step() override {
    for (;;) {
      std::optional<T> each = co_await below_.next();
      if (!each || fn_(std::as_const(*each))) co_return each;
    }
  }
  sequence<T> below_;
  F fn_;
};

template <class T>
class take_stage final : public stage<T> {
 public:
  take_stage(sequence<T> below, std::size_t count) : below_(std::move(below)), left_(count) {}

 private:
  task<std::optional<T>> step() override {
    if (left_ == 0) co_return std::nullopt;
    std::optional<T> each = co_await below_.next();
    --left_;
    co_return each;
  }
  sequence<T> below_;
  std::size_t left_;
};

template <class T>
struct arrival {
  bool in_time;
  std::optional<T> element;  // nothing at the end
};

// The next element of `below`, if it comes before an instant.
template <class T>
task<arrival<T>> next_until(sequence<T>& below, instant limit) {
  if (limit == instant::max()) {
    std::optional<T> each = co_await below.next();
    co_return arrival<T>{true, std::move(each)};
  }
  auto first = co_await select_biased(below.next_op(), until_op(limit));
  if (first.index() == 1) co_return arrival<T>{false, std::nullopt};
  co_return arrival<T>{true, std::move(std::get<0>(first))};
}

template <class T>
class chunk_stage final : public stage<std::vector<T>> {
 public:
  chunk_stage(sequence<T> below, std::size_t size, duration limit)
      : below_(std::move(below)), size_(size), limit_(limit) {}

 private:
  task<std::optional<std::vector<T>>> step() override {
    while (chunk_.size() < size_) {
      arrival<T> next = co_await next_until(below_, deadline_);
      if (!next.in_time || !next.element) break;
      if (chunk_.empty() && limit_ != duration::max()) deadline_ = saturating_add(now(), limit_);
      chunk_.push_back(std::move(*next.element));
    }
    deadline_ = instant::max();
    if (chunk_.empty()) co_return std::nullopt;
    co_return std::exchange(chunk_, {});
  }
  sequence<T> below_;
  std::size_t size_;
  duration limit_;
  std::vector<T> chunk_;
  instant deadline_ = instant::max();
};

template <class T>
class throttle_stage final : public stage<T> {
 public:
  throttle_stage(sequence<T> below, duration pause) : below_(std::move(below)), pause_(pause) {}

 private:
  task<std::optional<T>> step() override {
    if (now() < earliest_) co_await sleep_until(earliest_);
    std::optional<T> each = co_await below_.next();
    earliest_ = saturating_add(now(), pause_);
    co_return each;
  }
  sequence<T> below_;
  duration pause_;
  instant earliest_ = instant::min();
};

template <class T>
class debounce_stage final : public stage<T> {
 public:
  debounce_stage(sequence<T> below, duration quiet) : below_(std::move(below)), quiet_(quiet) {}

 private:
  task<std::optional<T>> step() override {
    for (;;) {
      arrival<T> next = co_await next_until(below_, latest_ ? deadline_ : instant::max());
      if (!next.in_time || !next.element) co_return std::exchange(latest_, std::nullopt);
      latest_ = std::move(next.element);
      deadline_ = saturating_add(now(), quiet_);
    }
  }
  sequence<T> below_;
  duration quiet_;
  std::optional<T> latest_;
  instant deadline_{};
};

template <class T, class F>
class until_stage final : public stage<T> {
 public:
  until_stage(sequence<T> below, F stop) : below_(std::move(below)), stop_(std::move(stop)) {}

 private:
  task<std::optional<T>> step() override {
    auto first = co_await select_biased(stop_(), below_.next_op());
    if (first.index() == 0) co_return std::nullopt;
    co_return std::move(std::get<1>(first));
  }
  sequence<T> below_;
  F stop_;
};

template <class T>
class merge_stage final : public stage<T> {
 public:
  explicit merge_stage(std::vector<std::shared_ptr<stage<T>>> open) : open_(std::move(open)) {
    for (const auto& each : open_) each->listen(&ready_);
  }
  ~merge_stage() override {
    for (const auto& each : open_) {
      each->listen(nullptr);
      each->drop();
    }
  }

 private:
  // Begins each time behind the one whose turn it was, so that a quiet one is not starved.
  task<std::optional<T>> step() override {
    while (!open_.empty()) {
      for (const auto& each : open_) each->read_ahead(*scheduler::here()->current());
      const auto found = std::find_if(open_.begin(), open_.end(), [](const auto& each) { return each->ready(); });
      if (found == open_.end()) {
        co_await ready_.wait();
        continue;
      }
      std::rotate(open_.begin(), found + 1, open_.end());
      std::optional<T> each = open_.back()->take();
      if (each) co_return each;
      open_.back()->listen(nullptr);
      open_.pop_back();
    }
    co_return std::nullopt;
  }

  notify ready_;
  std::vector<std::shared_ptr<stage<T>>> open_;
};

template <class U, class T, class F>
class buffer_stage final : public stage<U> {
 public:
  buffer_stage(std::shared_ptr<stage<T>> below, std::size_t size, F fn, buffer_options options)
      : below_(std::move(below)), size_(size), fn_(std::move(fn)), options_(options) {
    below_->listen(ready_.get());
  }
  ~buffer_stage() override {
    for (const entry& each : at_work_) each.work.cancel("the sequence was dropped");
    below_->listen(nullptr);
    below_->drop();
  }

 private:
  struct entry {
    std::shared_ptr<bool> ended;
    task_handle<U> work;
  };
  // However the work on an element ends, that is told.
  struct end_guard {
    std::shared_ptr<notify> ready;
    std::shared_ptr<bool> ended;

    end_guard(std::shared_ptr<notify> r, std::shared_ptr<bool> e) noexcept : ready(std::move(r)), ended(std::move(e)) {}
    end_guard(end_guard&&) noexcept = default;
    end_guard& operator=(end_guard&&) = delete;
    ~end_guard() {
      if (!ended) return;
      *ended = true;
      ready->notify_one();
    }
  };
  static task<U> work_on(task<U> body, end_guard) {
    U made = co_await body;
    co_return std::move(made);
  }
  void start_more() {
    task_header& self = *scheduler::here()->current();
    while (at_work_.size() < size_ && !below_->ended()) {
      below_->read_ahead(self);
      if (!below_->ready()) return;
      std::optional<T> each = below_->take();
      if (!each) return;
      auto ended = std::make_shared<bool>(false);
      task_handle<U> work = make_task(work_on(fn_(std::move(*each)), end_guard(ready_, ended)));
      self.home->spawn(work.header(), {.below = &self, .daemon = true});
      at_work_.push_back({std::move(ended), std::move(work)});
    }
  }
  typename std::deque<entry>::iterator next_ended() {
    const auto last = options_.ordered && !at_work_.empty() ? at_work_.begin() + 1 : at_work_.end();
    const auto found = std::find_if(at_work_.begin(), last, [](const entry& each) { return *each.ended; });
    return found == last ? at_work_.end() : found;
  }
  // Work that ended with a former reader is left out.
  task<std::optional<U>> step() override {
    for (;;) {
      start_more();
      if (const auto found = next_ended(); found != at_work_.end()) {
        const task_handle<U> work = found->work;
        co_await work.join();
        at_work_.erase(next_ended());
        if (!work.outcome_now().cancelled()) co_return task_handle<U>(work).take().unwrap();
        continue;
      }
      if (at_work_.empty() && below_->ended()) co_return std::nullopt;
      co_await ready_->wait();
    }
  }

  std::shared_ptr<notify> ready_ = std::make_shared<notify>();
  std::shared_ptr<stage<T>> below_;
  std::size_t size_;
  F fn_;
  buffer_options options_;
  std::deque<entry> at_work_;
};

template <class S, class... Args>
auto make_stage(Args&&... args) {
  auto made = std::make_shared<S>(std::forward<Args>(args)...);
  return sequence<typename S::element::value_type>(std::move(made));
}

}  // namespace detail

template <class T>
template <class F>
auto sequence<T>::map(F fn) && {
  using made = typename detail::task_value<std::invoke_result_t<F&, T>>::type;
  return detail::make_stage<detail::map_stage<made, T, F>>(std::move(*this), std::move(fn));
}
template <class T>
template <class F>
sequence<T> sequence<T>::filter(F fn) && {
  return detail::make_stage<detail::filter_stage<T, F>>(std::move(*this), std::move(fn));
}
template <class T>
sequence<T> sequence<T>::take(std::size_t count) && {
  return detail::make_stage<detail::take_stage<T>>(std::move(*this), count);
}
template <class T>
sequence<std::vector<T>> sequence<T>::chunks(std::size_t size, duration limit) && {
  detail::check_at_least_one(size, "chunks: the size");
  return detail::make_stage<detail::chunk_stage<T>>(std::move(*this), size, limit);
}
template <class T>
sequence<T> sequence<T>::throttle(duration pause) && {
  return detail::make_stage<detail::throttle_stage<T>>(std::move(*this), pause);
}
template <class T>
sequence<T> sequence<T>::debounce(duration quiet) && {
  return detail::make_stage<detail::debounce_stage<T>>(std::move(*this), quiet);
}
template <class T>
template <class F>
auto sequence<T>::buffered(std::size_t size, F fn, buffer_options options) && {
  detail::check_at_least_one(size, "buffered: the size");
  using made = typename std::invoke_result_t<F&, T>::result_type;
  here();
  return detail::make_stage<detail::buffer_stage<made, T, F>>(std::exchange(stage_, nullptr), size, std::move(fn),
                                                              options);
}
template <class T>
template <class F>
sequence<T> sequence<T>::take_until(F stop) && {
  return detail::make_stage<detail::until_stage<T, F>>(std::move(*this), std::move(stop));
}

// The elements of all, each as soon as it is there; no one of them starves the others.
template <class T>
sequence<T> merge(std::vector<sequence<T>> all) {
  std::vector<std::shared_ptr<stage<T>>> open;
  for (sequence<T>& each : all) {
    each.here();
    open.push_back(std::exchange(each.stage_, nullptr));
  }
  return detail::make_stage<detail::merge_stage<T>>(std::move(open));
}
template <class T, class... More>
sequence<T> merge(sequence<T> first, sequence<More>... more) {
  std::vector<sequence<T>> all;
  all.push_back(std::move(first));
  (all.push_back(std::move(more)), ...);
  return merge(std::move(all));
}

// Where sequences begin. What `fetch()`, a coroutine that yields a std::optional<T>, yields until that is nothing.
template <class F, class T = typename std::invoke_result_t<F&>::result_type::value_type>
sequence<T> make_sequence(F fetch) {
  return detail::make_stage<detail::source_stage<T, F>>(std::move(fetch));
}
// The values of a channel, until it is closed and empty.
template <class T>
sequence<T> make_sequence(channel<T> from) {
  return make_sequence([from]() -> task<std::optional<T>> {
    std::optional<T> value = co_await from.recv();
    co_return value;
  });
}
// The instants at which an interval ticks, until it is closed.
inline sequence<instant> make_sequence(interval from) {
  return make_sequence([from]() -> task<std::optional<instant>> {
    const std::optional<instant> at = co_await from.tick();
    co_return at;
  });
}
// The elements of a range, which is kept; one by one as they are asked for.
template <std::ranges::forward_range R, class T = std::ranges::range_value_t<R>>
sequence<T> make_sequence(R items) {
  const auto kept = std::make_shared<R>(std::move(items));
  return make_sequence([kept, at = std::ranges::begin(*kept)]() mutable -> task<std::optional<T>> {
    if (at == std::ranges::end(*kept)) co_return std::nullopt;
    co_return *at++;
  });
}

}  // namespace perilune
