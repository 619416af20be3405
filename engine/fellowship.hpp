// Runtimes that wait for each other, and which of them have stalled. Owned by all of them. Guarded by a mutex that is taken while
// that of one member's quiescence is held, never the other way round.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>

namespace perilune::detail {

class quiescence;

struct fellow_place {
  quiescence* who = nullptr;  // none before the runtime is there, and after it has ended
  bool daemon = false;
  bool stalled = false;       // all its workers rest, and nothing outside will wake them
  std::uint64_t resumes = 0;  // how many there had been then
  std::uint64_t told_at = ~std::uint64_t{0};  // and when its waits were ended last
};

class fellowship {
 public:
  fellow_place& open(bool daemon);
  void close(fellow_place& place) noexcept;
  void enter(fellow_place& place, quiescence& who) noexcept;
  // The runtime ends: it is busy with that, and must not be asked any more.
  void leave(fellow_place& place) noexcept;

  // Nobody is in it but who asks.
  bool alone();

  // All of this member rests. Where all others do too, those who have not been told yet end their waits. True: this one shall, too.
  bool stall(fellow_place& self, std::uint64_t resumes);
  void rise(fellow_place& self) noexcept;

 private:
  std::mutex mutex_;
  std::list<fellow_place> places_;
};

}  // namespace perilune::detail
