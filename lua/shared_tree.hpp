// A value that no VM owns: plain data, tables of it, immutable once made, read from any thread without a lock. Made from a
// parcel; shared parts and cycles are kept.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "transfer.hpp"

namespace perilune {

class shared_table;

// nil, boolean, integer, number, string, table. Keys are never nil.
using shared_value = std::variant<std::monostate, bool, lua_Integer, lua_Number, std::string, const shared_table*>;

class shared_table {
 public:
  // nullptr: there is nothing.
  const shared_value* find(const shared_value& key) const;
  std::size_t length() const noexcept { return list_.size(); }
  struct item {
    lua_Integer index;        // the key of what stands in the list
    const shared_value* key;  // of what does not, or nullptr
    const shared_value* value;
  };
  // The item behind the one with this key, or the first for nil; the list comes first. False at the end, and for a key that
  // is not there.
  bool next(const shared_value& key, item& found) const;

 private:
  friend class shared_tree;
  struct entry {
    shared_value key;
    shared_value value;
  };
  void add(shared_value&& key, shared_value&& value);
  std::size_t bytes() const noexcept;
  // Takes the list out of the entries.
  void finish();

  std::vector<shared_value> list_;
  std::vector<entry> entries_;
  std::unordered_map<shared_value, std::size_t> places_;  // of entries, by key
};

class shared_tree {
 public:
  // The value of a parcel that was packed plain. nullptr when it is no table, or no such parcel.
  static std::shared_ptr<shared_tree> make(const parcel& from);
  const shared_table& root() const noexcept { return *root_; }
  // Of memory, roughly.
  std::size_t bytes() const noexcept;

  memory_share share;  // the VM that made it answers for it

 private:
  class reader;
  std::vector<std::unique_ptr<shared_table>> tables_;
  std::vector<crossing_ptr> kept_;  // other trees that it refers to
  const shared_table* root_ = nullptr;
};

// A table of a tree, as it is handed around.
class shared_view final : public crossing, public std::enable_shared_from_this<shared_view> {
 public:
  shared_view(std::shared_ptr<const shared_tree> of, const shared_table& shown) noexcept
      : tree(std::move(of)), table(shown) {}
  void push(lua_State* L, vm& v) override;
  const std::shared_ptr<const shared_tree> tree;
  const shared_table& table;
};

}  // namespace perilune
