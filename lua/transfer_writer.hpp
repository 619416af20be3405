// Writing the bytes of a parcel, and the plain values in them. See transfer.hpp for the format. A writer only looks at the stack:
// it calls nothing that may raise.
#pragma once

#include <cstring>
#include <string>
#include <string_view>

#include "transfer.hpp"

namespace perilune {

// Appends to the bytes of a parcel.
class parcel_writer {
 public:
  explicit parcel_writer(std::string& bytes) noexcept : bytes_(bytes) {}

  void put(transfer_tag t) { bytes_.push_back(static_cast<char>(t)); }
  void put_count(std::uint64_t n) {
    for (; n >= 0x80; n >>= 7) bytes_.push_back(static_cast<char>(n | 0x80));
    bytes_.push_back(static_cast<char>(n));
  }
  void put_text(std::string_view text) {
    put_count(text.size());
    bytes_.append(text);
  }
  template <class T>
  void put_raw(T value) {
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    bytes_.append(raw, sizeof raw);
  }
  // False when the value is not plain.
  bool put_plain(lua_State* L, int index);

 private:
  std::string& bytes_;
};

}  // namespace perilune
