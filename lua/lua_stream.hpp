// Streams of bytes as scripts hold them: the ends of a child's pipes, sockets. One userdata holds the end that is read,
// the end that is written, or both; the engine's streams do the waiting. Owned by the collector; one worker only.
#pragma once

#include <cstdint>
#include <memory>

#include <lua.hpp>

#include <perilune/net.hpp>
#include <perilune/stream.hpp>

#include "protect.hpp"

namespace perilune {

struct lua_stream {
  static constexpr std::uint64_t tag = 0x73747265'6d1f90c8ULL;
  reader in;
  writer out;
  std::unique_ptr<net::endpoint> here{};  // of a socket
  std::unique_ptr<net::endpoint> there{};
};

// Pushes a stream without ends; the caller fills it. Raises when memory is out.
lua_stream& push_stream(lua_State* L);

// Pushes host and port, or the path, of a socket's end.
int push_endpoint(lua_State* L, const net::endpoint& at);

// The ends of the stream at an index, or nullptr.
lua_stream* to_stream(lua_State* L, int index) noexcept;

// What a script asks to read, as one integer, so that it can stand on a Lua stack.
lua_Integer encode_need(const read_need& need) noexcept;
read_need decode_need(lua_Integer code) noexcept;

// Reads the arguments at `index` and `index + 1`: a number of bytes, "line", "L", "all" or "some"; and a limit. A reply < 0
// refuses; otherwise the code of the need has been pushed.
reply push_need(lua_State* L, vm& v, int index);

// Defines the types, unless that was done before.
void open_streams(lua_State* L);

// Closes both ends. Idempotent.
void close_stream(lua_stream& stream) noexcept;

}  // namespace perilune
