// The modules written in C++, by the name scripts require. Each opener leaves the module's table on the stack.
#pragma once

#include <iterator>

#include "library.hpp"

namespace perilune {

inline constexpr library_function native_modules[] = {
    {"perilune.version_", nullptr},
};

}  // namespace perilune
