// TLS: what one side of many connections has in common (a context), and one connection (a session). A session sees bytes only; it
// shakes hands with whoever feeds it, and then stands on a stream as its layer. A context may be shared by all VMs and is freed
// with its last session; a session stays on the thread of its stream.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <perilune/error.hpp>
#include <perilune/stream_layer.hpp>

#include "openssl.hpp"

namespace perilune::tls {

// Files are of PEM.
struct options {
  std::string ca_file;    // "": the system's authorities
  std::string cert_file;  // with the certificates between it and the authority
  std::string key_file;
  std::vector<std::string> alpn;  // best first
  bool server = false;
  bool verify = true;  // the certificate of the other side; a server asks for one
};

class context {
 public:
  static result<std::shared_ptr<const context>> make(options how);
  ~context();
  context(const context&) = delete;
  context& operator=(const context&) = delete;

  const openssl& library() const noexcept { return *library_; }
  SSL_CTX* get() const noexcept { return context_; }
  const options& how() const noexcept { return how_; }

 private:
  context(const openssl& library, options how) noexcept;
  std::optional<error> load_files();
  std::optional<error> load_identity();
  void set_alpn();

  const openssl* library_;
  options how_;
  std::string protocols_;  // of ALPN, each behind its length
  SSL_CTX* context_;
};

enum class progress : unsigned char { done, wants_bytes, failed };

class session final : public stream_layer {
 public:
  // `peer` is the name that a client expects in the certificate, and what errors call the other side.
  session(std::shared_ptr<const context> of, std::string peer);
  ~session() override;
  session(const session&) = delete;
  session& operator=(const session&) = delete;

  // A step of the handshake; what take_output() gives must leave after each. Empty `arrived`: the first step.
  progress shake_hands(std::string_view arrived);
  std::string take_output();
  // Why shake_hands failed; and of a stream that ended meanwhile.
  const error& problem() const noexcept { return *problem_; }
  error ended_early() const;

  decoded decode(std::string_view arrived) override;
  result<std::string> encode(std::string_view bytes) override;
  std::string farewell() override;
  std::optional<error> cut_off() override;

  // Once hands were shaken.
  std::string version() const;
  std::string cipher() const;
  std::string alpn() const;
  std::string subject() const;  // of the other side's certificate; "" for none

 private:
  void expect_peer();
  void feed(std::string_view arrived);
  error refusal(const char* doing) const;
  error certificate_refusal(long why) const;

  std::shared_ptr<const context> context_;
  const openssl& library_;
  std::string peer_;
  std::optional<error> problem_;
  SSL* ssl_;
  BIO* incoming_;
  BIO* outgoing_;
};

}  // namespace perilune::tls
