// Loading OpenSSL. See openssl.hpp.
#include "openssl.hpp"

#include <optional>

#include <dlfcn.h>

namespace perilune {

namespace {

template <class F>
bool find(void* library, const char* name, F& into) noexcept {
  into = reinterpret_cast<F>(::dlsym(library, name));
  return into != nullptr;
}

// Stays loaded: it runs code of its own when the program ends.
std::optional<openssl> load_library() noexcept {
  void* const library = ::dlopen(openssl::file_name(), RTLD_NOW | RTLD_LOCAL);
  openssl found;
#define PERILUNE_OPENSSL_FIND(name) &&find(library, #name, found.name)
  const bool whole = library PERILUNE_OPENSSL(PERILUNE_OPENSSL_FIND);
#undef PERILUNE_OPENSSL_FIND
  return whole ? std::optional(found) : std::nullopt;
}

}  // namespace

const openssl* openssl::load() noexcept {
  static const std::optional<openssl> library = load_library();
  return library ? &*library : nullptr;
}

#define PERILUNE_TEXT_OF(number) #number
#define PERILUNE_TEXT(number) PERILUNE_TEXT_OF(number)
const char* openssl::file_name() noexcept { return "libssl.so." PERILUNE_TEXT(OPENSSL_SHLIB_VERSION); }

}  // namespace perilune
