// Errors and values of the C interface. The conventions stand in <perilune/perilune.h>.
#include <new>

#include "c_api.hpp"

using namespace perilune;
using namespace perilune::c_api;

const char* peri_error_kind(const peri_error* error) { return to_string(error->kind); }
const char* peri_error_message(const peri_error* error, size_t* size) { return shown(error->message, size); }
const char* peri_error_report(const peri_error* error, size_t* size) {
  return shown(error->report.empty() ? error->message : error->report, size);
}
void peri_error_free(peri_error* error) {
  if (error != &out_of_memory) delete error;
}

peri_values* peri_values_new(void) { return new (std::nothrow) peri_values; }
void peri_values_free(peri_values* list) { delete list; }
size_t peri_values_count(const peri_values* list) { return list ? list->list.size() : 0; }

namespace {

template <class... T>
int add(peri_values* list, T&&... given) noexcept {
  return tried([&] { return list->list.emplace_back(std::forward<T>(given)...), 1; });
}

}  // namespace

int peri_values_add_nil(peri_values* list) { return add(list); }
int peri_values_add_boolean(peri_values* list, int value) { return add(list, value != 0); }
int peri_values_add_integer(peri_values* list, int64_t value) { return add(list, value); }
int peri_values_add_number(peri_values* list, double value) { return add(list, value); }
int peri_values_add_string(peri_values* list, const char* data, size_t size) { return add(list, text(data, size)); }
int peri_values_add_table(peri_values* list, const peri_values* pairs) {
  return tried([&] {
    table made;
    for (std::size_t i = 0; i + 1 < pairs->list.size(); i += 2) {
      const value& key = pairs->list[i];
      if (key.integer() && *key.integer() == static_cast<std::int64_t>(made.items.size()) + 1)
        made.items.push_back(pairs->list[i + 1]);
      else
        made.fields.emplace_back(key, pairs->list[i + 1]);
    }
    list->list.emplace_back(std::move(made));
    return 1;
  });
}
int peri_values_add_from(peri_values* list, const peri_values* from, size_t index) {
  const value* found = at(from, index);
  return found ? tried([&, copy = *found] { return list->list.push_back(copy), 1; }) : 0;
}

peri_type peri_values_type(const peri_values* list, size_t index) {
  const value* found = at(list, index);
  return found ? static_cast<peri_type>(found->type()) : PERI_NIL;
}
int peri_values_get_boolean(const peri_values* list, size_t index, int* out) {
  const value* found = at(list, index);
  return found && found->boolean() ? *out = *found->boolean(), 1 : 0;
}
int peri_values_get_integer(const peri_values* list, size_t index, int64_t* out) {
  const value* found = at(list, index);
  const auto whole = found ? found->as<std::int64_t>() : std::nullopt;
  return whole ? *out = *whole, 1 : 0;
}
int peri_values_get_number(const peri_values* list, size_t index, double* out) {
  const value* found = at(list, index);
  const auto number = found ? found->as<double>() : std::nullopt;
  return number ? *out = *number, 1 : 0;
}
const char* peri_values_get_string(const peri_values* list, size_t index, size_t* size) {
  const value* found = at(list, index);
  return found && found->string() ? shown(*found->string(), size) : nullptr;
}
peri_values* peri_values_get_table(const peri_values* list, size_t index) {
  const value* found = at(list, index);
  if (!found || !found->fields()) return nullptr;
  peri_values* pairs = nullptr;
  tried([&] {
    auto made = std::make_unique<peri_values>();
    std::int64_t key = 0;
    for (const value& each : found->fields()->items) {
      made->list.emplace_back(++key);
      made->list.push_back(each);
    }
    for (const auto& [name, field] : found->fields()->fields) {
      made->list.push_back(name);
      made->list.push_back(field);
    }
    pairs = made.release();
    return 1;
  });
  return pairs;
}
peri_script* peri_values_get_function(const peri_values* list, size_t index) {
  const value* found = at(list, index);
  const auto function = found ? found->as<script>() : std::nullopt;
  return function ? new (std::nothrow) peri_script{*function} : nullptr;
}
