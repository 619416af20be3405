#include <perilune/host.hpp>

int main() {
  perilune::host host;
  host.define("twice", [](int n) { return 2 * n; });
  const auto script = host.load("local peri = require 'perilune' return peri.spawn(twice, 21):await()");
  return script && host.run(*script).result().as<int>() == 42 ? 0 : 1;
}
