// What the parts of the C interface share: what its handles stand for, and how C++ ends at its border. Private.
#pragma once

#include <perilune/perilune.h>

#include <string>
#include <string_view>
#include <utility>

#include <perilune/host.hpp>

struct peri_error {
  perilune::error_kind kind;
  std::string message;
  std::string report;
};
struct peri_values {
  perilune::value_list list;
};
struct peri_script {
  perilune::script made;
};
struct peri_task {
  perilune::script_task made;
};
struct peri_group {
  perilune::task_group made;
};
struct peri_completion {
  perilune::completion made;
};

namespace perilune::c_api {

// What stands for an error that there was no memory to make.
inline peri_error out_of_memory{error_kind::limit, "not enough memory", {}};

inline peri_error* failure(error problem) { return new peri_error{problem.kind, std::move(problem.message), {}}; }
inline peri_error* failure(const script_error& problem) {
  return new peri_error{problem.kind, problem.message, problem.full_report};
}
inline peri_error* misuse(const char* text) { return failure(error{error_kind::misuse, text, 0, {}}); }

// Nothing that C++ throws goes any further.
template <class F>
peri_error* guarded(F body) noexcept {
  try {
    return body();
  } catch (...) {
    return &out_of_memory;
  }
}
template <class F>
int tried(F body) noexcept {
  try {
    return body();
  } catch (...) {
    return 0;
  }
}

inline peri_error* end_of(const status& end) { return end ? nullptr : failure(end.error()); }

inline peri_error* end_of(const script_outcome& end, peri_values** results) {
  if (!end.ended()) return misuse("the task has not ended");
  if (!end.returned()) return failure(end.error());
  if (results) *results = new peri_values{end.results()};
  return nullptr;
}

inline value_list copy_of(const peri_values* list) { return list ? list->list : value_list(); }
inline std::string_view text(const char* data, std::size_t size) noexcept {
  return data ? std::string_view(data, size) : std::string_view();
}
inline const char* shown(const std::string& text, std::size_t* size) noexcept {
  if (size) *size = text.size();
  return text.c_str();
}
inline const value* at(const peri_values* list, std::size_t index) noexcept {
  return list && index < list->list.size() ? &list->list[index] : nullptr;
}

}  // namespace perilune::c_api
