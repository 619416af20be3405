// What may stand between a stream and its descriptor: it turns the bytes that arrive into those that are read, and those that
// are written into those that leave, as TLS does. Shared by the two ends of a connection; the worker's thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <perilune/error.hpp>
#include <perilune/stream.hpp>

namespace perilune {

class stream_layer {
 public:
  // What a layer has made of bytes that came in.
  struct decoded {
    std::string bytes;             // to be read
    std::string answer;            // to leave at once, as it is
    std::optional<error> problem;  // nothing more can be read
    bool ended = false;            // the other side said so
  };

  virtual ~stream_layer() = default;
  // `arrived` may be empty: what the layer has kept from before it stood on the stream.
  virtual decoded decode(std::string_view arrived) = 0;
  virtual result<std::string> encode(std::string_view bytes) = 0;
  // What tells the other side that nothing more comes.
  virtual std::string farewell() = 0;
  // The descriptor ended before the other side said so: an error, where that matters.
  virtual std::optional<error> cut_off() = 0;
};

// Puts a layer on both ends of a connection; what was read and not taken is decoded. An error when somebody waits to read,
// when something else is still to leave, or when a layer stands there.
result<unit> put_layer(const reader& in, const writer& out, std::shared_ptr<stream_layer> layer);

}  // namespace perilune
