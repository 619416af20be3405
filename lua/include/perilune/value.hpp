// Values on their way between a host and its scripts. A value of the host's belongs to no VM: it is copied in and out, may be
// kept for ever and moved between threads. Tables are copied whole; functions, tasks and objects that cannot be copied are held
// by reference, which keeps them alive as long as their host lives and is harmless afterwards.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <perilune/error.hpp>

namespace perilune {

class value;
struct table;

namespace detail {

class anchor;  // what keeps something of a VM alive for the host
using anchor_ptr = std::shared_ptr<const anchor>;

// One instance for each C++ type, whose address names the type.
template <class T>
struct type_key {
  static inline const char here = 0;
};

// A host's object: shared with the scripts that hold it.
struct object_ref {
  const void* type = nullptr;  // of type_key
  std::shared_ptr<void> object{};
};

}  // namespace detail

// What a value is. `other`: a reference to something of the VM's that has no type here, a channel, a coroutine.
enum class value_type : unsigned char { nil, boolean, integer, number, string, table, function, task, object, other };

// "nil", "boolean", "number", ... as scripts call it. Static storage.
const char* to_string(value_type type) noexcept;

class value {
 public:
  value() noexcept = default;  // nil
  value(std::nullptr_t) noexcept {}
  value(std::same_as<bool> auto b) noexcept : state_(b) {}
  value(std::integral auto i) noexcept
    requires(!std::same_as<decltype(i), bool>)
      : state_(static_cast<std::int64_t>(i)) {}
  value(std::floating_point auto d) noexcept : state_(static_cast<double>(d)) {}
  value(const char* text) : state_(std::string(text)) {}
  value(std::string_view text) : state_(std::string(text)) {}
  value(std::string text) noexcept : state_(std::move(text)) {}
  value(table t);
  value(std::vector<value> list);  // a table with this list
  // An object of a class that the host has defined (host::define_class), shared with the scripts. Null is nil.
  template <class T>
  value(std::shared_ptr<T> object) {
    if (object) state_ = detail::object_ref{&detail::type_key<T>::here, std::move(object)};
  }
  explicit value(detail::object_ref object) noexcept : state_(std::move(object)) {}
  value(value_type type, detail::anchor_ptr held) noexcept : state_(reference{type, std::move(held)}) {}

  // Which of these it is.
  value_type type() const noexcept;
  bool is_nil() const noexcept { return state_.index() == 0; }
  // Everything but nil and false.
  bool truthy() const noexcept { return !is_nil() && (type() != value_type::boolean || *std::get_if<bool>(&state_)); }

  // The value as a T, or nothing where it is of another type or out of T's range. T: bool, numbers, std::string,
  // std::string_view (lives as long as this value), table, std::shared_ptr of a class, script, script_task, std::optional,
  // std::vector, value.
  template <class T>
  std::optional<T> as() const;

  // For reading a table: the field, or nil where there is none or this is no table.
  const value& operator[](std::string_view name) const noexcept;
  const value& operator[](std::size_t index) const noexcept;  // of its list, from 0
  const value& operator[](int index) const noexcept { return (*this)[static_cast<std::size_t>(index)]; }

  // As scripts print it; tables and references by their type.
  std::string text() const;

  // Where it is of that type, a view that lives as long as the value; else nullptr.
  const bool* boolean() const noexcept { return std::get_if<bool>(&state_); }
  const std::int64_t* integer() const noexcept { return std::get_if<std::int64_t>(&state_); }
  const double* number() const noexcept { return std::get_if<double>(&state_); }
  const std::string* string() const noexcept { return std::get_if<std::string>(&state_); }
  const table* fields() const noexcept;
  const detail::object_ref* object() const noexcept { return std::get_if<detail::object_ref>(&state_); }
  const detail::anchor_ptr* held() const noexcept;

 private:
  struct reference {
    value_type type;
    detail::anchor_ptr held;
  };
  std::variant<std::monostate, bool, std::int64_t, double, std::string, std::shared_ptr<const table>,
               detail::object_ref, reference>
      state_;
};

// Arguments or results.
using value_list = std::vector<value>;

// A table: its list t[1] ... t[#t], and its other fields in no particular order.
struct table {
  value_list items{};
  std::vector<std::pair<value, value>> fields{};

  table() = default;
  // A list only, or fields only.
  table(value_list list) : items(std::move(list)) {}
  table(std::initializer_list<std::pair<value, value>> named) : fields(named) {}
  // The field of this name, or nullptr.
  const value* find(std::string_view name) const noexcept;
};

namespace detail {

// How a value becomes a T; specialised for each T that is allowed.
template <class T>
struct conversion;

template <>
struct conversion<value> {
  static constexpr const char* expected = "a value";
  static std::optional<value> from(const value& v) { return v; }
};
template <>
struct conversion<bool> {
  static constexpr const char* expected = "boolean expected";
  static std::optional<bool> from(const value& v) { return v.boolean() ? std::optional(*v.boolean()) : std::nullopt; }
};
template <std::floating_point T>
struct conversion<T> {
  static constexpr const char* expected = "number expected";
  static std::optional<T> from(const value& v) {
    if (v.number()) return static_cast<T>(*v.number());
    return v.integer() ? std::optional(static_cast<T>(*v.integer())) : std::nullopt;
  }
};
// A float with an integral value counts as an integer, as in Lua.
std::optional<std::int64_t> whole(const value& v) noexcept;
template <std::integral T>
struct conversion<T> {
  static constexpr const char* expected =
      sizeof(T) == 8        ? (std::is_signed_v<T> ? "integer expected" : "integer >= 0 expected")
      : std::is_signed_v<T> ? (sizeof(T) == 4 ? "integer of 32 bits expected" : "small integer expected")
                            : (sizeof(T) == 4 ? "integer from 0 to 2^32-1 expected" : "small integer >= 0 expected");
  static std::optional<T> from(const value& v) {
    const auto i = whole(v);
    return i && std::in_range<T>(*i) ? std::optional(static_cast<T>(*i)) : std::nullopt;
  }
};
template <>
struct conversion<std::string> {
  static constexpr const char* expected = "string expected";
  static std::optional<std::string> from(const value& v) {
    return v.string() ? std::optional(*v.string()) : std::nullopt;
  }
};
template <>
struct conversion<std::string_view> {
  static constexpr const char* expected = "string expected";
  static std::optional<std::string_view> from(const value& v) {
    return v.string() ? std::optional<std::string_view>(*v.string()) : std::nullopt;
  }
};
template <>
struct conversion<table> {
  static constexpr const char* expected = "table expected";
  static std::optional<table> from(const value& v) { return v.fields() ? std::optional(*v.fields()) : std::nullopt; }
};
template <class T>
struct conversion<std::vector<T>> {
  static constexpr const char* expected = "list expected";
  static std::optional<std::vector<T>> from(const value& v) {
    if (!v.fields()) return std::nullopt;
    std::vector<T> list;
    for (const value& each : v.fields()->items) {
      auto item = conversion<T>::from(each);
      if (!item) return std::nullopt;
      list.push_back(*std::move(item));
    }
    return list;
  }
};
template <class T>
struct conversion<std::optional<T>> {
  static constexpr const char* expected = conversion<T>::expected;
  static std::optional<std::optional<T>> from(const value& v) {
    if (v.is_nil()) return std::optional<T>();
    auto got = conversion<T>::from(v);
    if (!got) return std::nullopt;
    return std::optional<std::optional<T>>(std::in_place, std::move(got));
  }
};
template <class T>
struct conversion<std::shared_ptr<T>> {
  static constexpr const char* expected = "object of another type expected";
  static std::optional<std::shared_ptr<T>> from(const value& v) {
    if (!v.object() || v.object()->type != &type_key<T>::here) return std::nullopt;
    return std::static_pointer_cast<T>(v.object()->object);
  }
};

}  // namespace detail

template <class T>
std::optional<T> value::as() const {
  return detail::conversion<T>::from(*this);
}

// What a C++ value becomes in a script.
inline value to_value(value v) { return v; }
template <class T>
value to_value(std::optional<T> v) {
  return v ? to_value(*std::move(v)) : value();
}
template <class T>
value to_value(std::vector<T> list) {
  table t;
  t.items.reserve(list.size());
  for (auto&& each : list) t.items.push_back(to_value(T(std::move(each))));
  return t;
}

}  // namespace perilune
