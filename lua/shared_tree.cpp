// Building and searching values that no VM owns. See shared_tree.hpp.
#include "shared_tree.hpp"

#include <cstring>
#include <utility>

namespace perilune {

const shared_value* shared_table::find(const shared_value& key) const {
  if (const auto* index = std::get_if<lua_Integer>(&key);
      index && *index >= 1 && static_cast<std::size_t>(*index) <= list_.size())
    return &list_[static_cast<std::size_t>(*index) - 1];
  const auto found = places_.find(key);
  return found == places_.end() ? nullptr : &entries_[found->second].value;
}

bool shared_table::next(const shared_value& key, item& found) const {
  std::size_t at = 0;  // of the item behind, the list counted first
  if (const auto* index = std::get_if<lua_Integer>(&key);
      index && *index >= 1 && static_cast<std::size_t>(*index) <= list_.size()) {
    at = static_cast<std::size_t>(*index);
  } else if (!std::holds_alternative<std::monostate>(key)) {
    const auto place = places_.find(key);
    if (place == places_.end()) return false;
    at = list_.size() + place->second + 1;
  }
  if (at < list_.size())
    found = {static_cast<lua_Integer>(at) + 1, nullptr, &list_[at]};
  else if (at - list_.size() < entries_.size())
    found = {0, &entries_[at - list_.size()].key, &entries_[at - list_.size()].value};
  else
    return false;
  return true;
}

void shared_table::add(shared_value&& key, shared_value&& value) {
  if (places_.try_emplace(key, entries_.size()).second) entries_.push_back({std::move(key), std::move(value)});
}

void shared_table::finish() {
  std::unordered_map<lua_Integer, std::size_t> numbered;
  for (std::size_t i = 0; i < entries_.size(); ++i)
    if (const auto* index = std::get_if<lua_Integer>(&entries_[i].key)) numbered.emplace(*index, i);
  std::vector<bool> listed(entries_.size());
  for (lua_Integer next = 1;; ++next) {
    const auto found = numbered.find(next);
    if (found == numbered.end()) break;
    listed[found->second] = true;
    list_.push_back(std::move(entries_[found->second].value));
  }
  std::vector<entry> others;
  places_.clear();
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (listed[i]) continue;
    places_.emplace(entries_[i].key, others.size());
    others.push_back(std::move(entries_[i]));
  }
  entries_ = std::move(others);
}

std::size_t shared_table::bytes() const noexcept {
  constexpr std::size_t each_place = sizeof(shared_value) + 4 * sizeof(void*);
  const auto text_of = [](const shared_value& value) {
    const auto* text = std::get_if<std::string>(&value);
    return text ? text->capacity() : 0;
  };
  std::size_t total = sizeof *this + list_.capacity() * sizeof(shared_value) + entries_.capacity() * sizeof(entry);
  for (const shared_value& each : list_) total += text_of(each);
  for (const entry& each : entries_) total += each_place + 2 * text_of(each.key) + text_of(each.value);
  return total;
}

std::size_t shared_tree::bytes() const noexcept {
  std::size_t total = sizeof *this;
  for (const auto& each : tables_) total += each->bytes();
  return total;
}

// Reads what pack() wrote in this process; what makes no sense ends the reading.
class shared_tree::reader {
 public:
  reader(const parcel& from, shared_tree& into) noexcept
      : from_(from), into_(into), at_(from.bytes.data()), end_(at_ + from.bytes.size()) {}

  bool value(shared_value& into);

 private:
  using tag = transfer_tag;
  std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - at_); }
  bool count(std::uint64_t& n) noexcept {
    n = 0;
    for (unsigned shift = 0; shift < 64 && at_ != end_; shift += 7) {
      const auto byte = static_cast<unsigned char>(*at_++);
      n |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (!(byte & 0x80)) return true;
    }
    return false;
  }
  template <class T>
  bool raw(shared_value& into) {
    T value{};
    if (left() < sizeof value) return false;
    std::memcpy(&value, at_, sizeof value);
    at_ += sizeof value;
    into = value;
    return true;
  }
  bool text(shared_value& into) {
    std::uint64_t size = 0;
    if (!count(size) || size > left()) return false;
    into = std::string(at_, static_cast<std::size_t>(size));
    at_ += size;
    return true;
  }
  bool table(shared_value& into);
  bool seen(shared_value& into) {
    std::uint64_t number = 0;
    if (!count(number) || number >= objects_.size()) return false;
    into = objects_[static_cast<std::size_t>(number)];
    return true;
  }
  bool handle(shared_value& into) {
    std::uint64_t number = 0;
    if (!count(number) || number >= from_.handles.size()) return false;
    const crossing_ptr& kept = from_.handles[static_cast<std::size_t>(number)];
    const auto* view = dynamic_cast<const shared_view*>(kept.get());
    if (!view) return false;
    into_.kept_.push_back(kept);
    objects_.push_back(&view->table);
    into = &view->table;
    return true;
  }

  const parcel& from_;
  shared_tree& into_;
  const char* at_;
  const char* end_;
  std::vector<const shared_table*> objects_;  // by number
};

bool shared_tree::reader::value(shared_value& into) {
  if (at_ == end_) return false;
  switch (static_cast<tag>(*at_++)) {
    case tag::nil:
      into = std::monostate{};
      return true;
    case tag::no:
    case tag::yes:
      into = static_cast<tag>(at_[-1]) == tag::yes;
      return true;
    case tag::integer:
      return raw<lua_Integer>(into);
    case tag::number:
      return raw<lua_Number>(into);
    case tag::string:
      return text(into);
    case tag::table:
      return table(into);
    case tag::again:
      return seen(into);
    case tag::handle:
      return handle(into);
    default:
      return false;
  }
}

bool shared_tree::reader::table(shared_value& into) {
  if (at_ == end_ || *at_++ != 0) return false;  // no metatable
  shared_table& made = *into_.tables_.emplace_back(std::make_unique<shared_table>());
  objects_.push_back(&made);
  into = &made;
  while (at_ != end_ && *at_ != static_cast<char>(tag::end)) {
    shared_value key;
    shared_value item;
    if (!value(key) || !value(item)) return false;
    made.add(std::move(key), std::move(item));
  }
  if (at_ == end_) return false;
  ++at_;
  made.finish();
  return true;
}

std::shared_ptr<shared_tree> shared_tree::make(const parcel& from) {
  auto tree = std::make_shared<shared_tree>();
  shared_value top;
  if (!reader(from, *tree).value(top)) return nullptr;
  const auto* root = std::get_if<const shared_table*>(&top);
  if (!root) return nullptr;
  tree->root_ = *root;
  return tree;
}

}  // namespace perilune
