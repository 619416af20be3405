// The error objects of lua-api.md: what join returns and await raises. A userdata with lazily computed fields.
//
// User values: 1 the raised value, 2 the handle of the failed task or nil, 3 a table of further fields (traceback,
// suppressed, errors, reason, by, code, message, ...). A failure that nobody has looked at is in its VM's list until it
// is observed or collected.
#pragma once

#include <cstdint>
#include <list>

#include <lua.hpp>

#include <perilune/cancel.hpp>
#include <perilune/error.hpp>

#include "vm.hpp"

namespace perilune {

class error_object {
 public:
  static constexpr std::uint64_t tag = 0x6572726f'5be72c43ULL;
  static constexpr int user_values = 3;
  enum user_value : int { value = 1, handle = 2, fields = 3 };

  explicit error_object(vm& owner, error_kind k) noexcept : host(&owner), kind(k) {}

  // Pushes a new object of this kind, without value. `reported` objects are noticed when they are collected unseen.
  static error_object& push_new(lua_State* L, vm& v, error_kind kind, bool reported);
  // Pushes the object for an engine error.
  static void push_engine_error(lua_State* L, vm& v, const error& problem);
  // Pushes the object a cancellation is raised as: shared by all tasks cancelled for the same reason in a row.
  static void push_cancellation(lua_State* L, vm& v, const reason_ptr& reason);
  // Sets a further field to the value on top (popped). `index` is the object.
  static void set_field(lua_State* L, int index, const char* name);
  static void push_field(lua_State* L, int index, const char* name);
  // Pushes a text for any value that was raised, without calling a script's code.
  static void push_brief(lua_State* L, int index);
  // Pushes the text of tostring(e).
  static void push_text(lua_State* L, int index);
  // Pushes the whole report: text, traceback, spawn site, suppressed and grouped errors.
  static void push_report(lua_State* L, int index);
  static void open(lua_State* L);

  // Nobody has looked at the object at `index` yet: it is noticed when it is collected, or at the end of the run.
  static void watch(lua_State* L, int index);
  void observe() noexcept;  // looked at

  vm* host;
  bool unobserved = false;
  std::list<vm::unobserved_failure>::iterator place;  // among those of the VM, while unobserved
  const void* reason = nullptr;                       // identity of the cancel_reason, for sharing
  error_kind kind;
  bool is_cancellation = false;   // the very object a cancellation is raised as
  bool is_close_request = false;  // the very object coroutine.close raises inside a coroutine
  bool during_cancel = false;
  bool shares_fields = false;  // the table of fields belongs to a cancellation object: copied before it is changed
};

}  // namespace perilune
