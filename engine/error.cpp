// Names of error kinds and of system errors, and what a C++ exception means as an error. See error.hpp.
#include <perilune/error.hpp>

#include <cstdlib>
#include <cstring>
#include <system_error>
#include <typeinfo>

#include <cxxabi.h>

#include <perilune/outcome.hpp>
#include <perilune/scope.hpp>

namespace perilune {

const char* to_string(error_kind kind) noexcept {
  constexpr const char* names[] = {"error",    "cancelled", "timeout", "group",   "limit",
                                   "deadlock", "transfer",  "io",      "process", "misuse"};
  return names[static_cast<unsigned char>(kind)];
}

const char* error::code_name(int code) noexcept {
  if (const char* name = strerrorname_np(code)) return name;
  return "EUNKNOWN";
}

error error::system(std::string what, int code) {
  what += ": ";
  what += std::generic_category().message(code);
  return {error_kind::io, std::move(what), code, {}};
}

namespace {
std::string readable_type(const std::type_info& type) {
  int status = 0;
  char* text = abi::__cxa_demangle(type.name(), nullptr, nullptr, &status);
  std::string name = status == 0 && text ? text : type.name();
  std::free(text);
  return name;
}
}  // namespace

error describe_exception(std::exception_ptr exception) noexcept {
  try {
    if (!exception) return {};
    try {
      std::rethrow_exception(exception);
    } catch (const task_error& e) {
      return e.problem();
    } catch (const group_error& e) {
      return {error_kind::group, e.what(), 0, exception};
    } catch (const std::exception& e) {
      return {error_kind::error, readable_type(typeid(e)) + ": " + e.what(), 0, exception};
    } catch (...) {
      const std::type_info* type = abi::__cxa_current_exception_type();
      return {error_kind::error, "C++ exception of type " + (type ? readable_type(*type) : std::string("unknown")), 0,
              exception};
    }
  } catch (...) {
    return {};
  }
}

}  // namespace perilune
