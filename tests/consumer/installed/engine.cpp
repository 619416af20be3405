#include <perilune/runtime.hpp>
#include <perilune/timer.hpp>

namespace {
perilune::task<int> body() {
  co_await perilune::sleep(std::chrono::milliseconds(1));
  co_return 42;
}
}  // namespace

int main() {
  perilune::runtime rt;
  return rt.run(body()).value() == 42 ? 0 : 1;
}
